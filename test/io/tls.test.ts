import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect, createServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { readTlsOptions } from '../../src/io/tls.ts';
import type { TlsFiles } from '../../src/io/tls.ts';
import { makeCertificates } from '../servers/certificates.ts';
import type { Certificates, KeyPair } from '../servers/certificates.ts';
import { GuardedFolder } from '../servers/guarded.ts';
import { needs } from '../servers/needs.ts';

const program = needs('openssl');
const run = { signal: new AbortController().signal };
let certificates: Certificates;
before(async () => {
  if (program.skip === false) certificates = await makeCertificates();
});
after(() => certificates?.[Symbol.dispose]());

/** What a client with these files, which connects to 127.0.0.1, and its server come to: the client's name as the server sees it. */
async function meet(files: TlsFiles, server: KeyPair, version: 'TLSv1.1' | 'TLSv1.3' = 'TLSv1.3'): Promise<string> {
  const listening = createServer({
    cert: readFileSync(server.cert),
    key: readFileSync(server.key),
    ca: readFileSync(certificates.ca),
    requestCert: true,
    rejectUnauthorized: false,
    maxVersion: version,
    minVersion: version,
    ciphers: 'DEFAULT:@SECLEVEL=0',
  });
  listening.on('tlsClientError', () => undefined);
  listening.on('secureConnection', (socket: TLSSocket) => {
    socket.on('error', () => undefined);
    socket.end(socket.authorized ? String(socket.getPeerCertificate().subject.CN) : 'nobody');
  });
  listening.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  const address = listening.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const socket = connect({ port, host: '127.0.0.1', ...(await readTlsOptions(files, '127.0.0.1', run)) });
  try {
    const [answer] = (await once(socket, 'data')) as [Buffer];
    return answer.toString();
  } finally {
    socket.destroy();
    listening.close();
  }
}

test('a server that shows a right certificate is spoken to, by address and by name', program, async () => {
  const { ca: caFile } = certificates;
  assert.equal(await meet({ caFile }, certificates), 'nobody');
  assert.equal(await meet({ caFile, serverName: 'localhost' }, certificates), 'nobody');
  assert.equal(await meet({ caFile, serverName: 'elsewhere.example' }, certificates.wrongName), 'nobody');
});

test('a client shows its certificate', program, async () => {
  const { ca: caFile, client } = certificates;
  assert.equal(await meet({ caFile, certFile: client.cert, keyFile: client.key }, certificates), 'backup');
});

test('a server of another authority, with an expired certificate or of another name is refused', program, async () => {
  const untrusted = { code: /UNABLE_TO_GET_ISSUER_CERT_LOCALLY|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_VERIFY/ };
  const { ca: caFile, wrongCa, wrongServer, expired, wrongName } = certificates;
  await assert.rejects(meet({}, certificates), untrusted);
  await assert.rejects(meet({ caFile: wrongCa }, certificates), untrusted);
  await assert.rejects(meet({ caFile }, wrongServer), untrusted);
  await assert.rejects(meet({ caFile }, expired), { code: 'CERT_HAS_EXPIRED' });
  await assert.rejects(meet({ caFile }, wrongName), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
  const other = { caFile, serverName: 'elsewhere.example' };
  await assert.rejects(meet(other, certificates), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
});

test('a server that speaks only what is outdated is refused', program, async () => {
  await assert.rejects(meet({ caFile: certificates.ca }, certificates, 'TLSv1.1'), {
    code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
  });
});

test('a file that is no help is named', program, async () => {
  using folder = new GuardedFolder('tls');
  const { ca, client, cert } = certificates;
  const text = join(folder.path, 'text');
  writeFileSync(text, 'nothing of that kind\n');
  const damaged = join(folder.path, 'damaged');
  writeFileSync(damaged, readFileSync(ca, 'utf8').replace(/\nMII/, '\nAAA'));
  const absent = join(folder.path, 'absent');
  const cases: readonly (readonly [TlsFiles, RegExp])[] = [
    [{ caFile: absent }, /absent can’t be read/],
    [{ caFile: text }, /text holds no certificate/],
    [{ caFile: client.key }, /client.key holds no certificate/],
    [{ caFile: damaged }, /damaged holds a damaged certificate/],
    [{ certFile: client.cert }, /client.pem needs its partner/],
    [{ keyFile: client.key }, /client.key needs its partner/],
    [{ certFile: client.cert, keyFile: text }, /text holds no private key/],
    [{ certFile: cert, keyFile: client.key }, /client.key does not belong to the certificate .*server.pem/],
  ];
  for (const [files, message] of cases) {
    await assert.rejects(readTlsOptions(files, 'db', run), { code: 'STORE_UNREACHABLE', message });
  }
});

test('a certificate that was renewed counts the next time', program, async () => {
  using folder = new GuardedFolder('tls');
  const caFile = join(folder.path, 'ca');
  copyFileSync(certificates.wrongCa, caFile);
  const before = await readTlsOptions({ caFile }, 'db', run);
  rmSync(caFile);
  copyFileSync(certificates.ca, caFile);
  const now = await readTlsOptions({ caFile }, 'db', run);
  assert.deepEqual([before.ca?.equals(now.ca ?? before.ca), now.servername], [false, 'db']);
});
