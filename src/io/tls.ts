import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import type { PeerCertificate } from 'node:tls';
import { fromSystem, TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import { readSmallFile } from './atomic-file.ts';

/** Absolute paths of PEM files. Who the server is, is always verified: by `caFile`, or by the authorities that Node knows. */
export type TlsFiles = {
  readonly caFile?: string | undefined;
  /** What a client shows of itself: the certificate, with what leads to its authority behind it, and `keyFile`. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** What the server's certificate must be for; the name or address that is connected to when absent. */
  readonly serverName?: string | undefined;
};

/** For `tls.connect`, and for whatever hands its options on to it. */
export type TlsClientOptions = {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  /** Absent for an address, which TLS does not tell the server. */
  readonly servername?: string;
  readonly minVersion: 'TLSv1.2';
  readonly rejectUnauthorized: true;
  readonly checkServerIdentity: (host: string, certificate: PeerCertificate) => Error | undefined;
};

const MAX_FILE_BYTES = 1024 * 1024;
const CERTIFICATE = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----.*?-----END (?:X509 |TRUSTED )?CERTIFICATE-----/gs;

/**
 * The options of a connection to `host`. Files are read now, so that a certificate that was renewed counts from the next connection on.
 * @throws STORE_UNREACHABLE, naming the file, for one that can't be read, holds something else or does not fit its partner
 */
export async function readTlsOptions(files: TlsFiles, host: string, run: Run): Promise<TlsClientOptions> {
  run.signal.throwIfAborted();
  const { caFile, certFile, keyFile, serverName } = files;
  if ((certFile === undefined) !== (keyFile === undefined)) {
    const [given, absent] = certFile === undefined ? [keyFile, 'certFile'] : [certFile, 'keyFile'];
    throw unusable(`${given} needs its partner`, { hint: `Name ${absent} as well, or neither of the two.` });
  }
  const name = serverName ?? host;
  return {
    ...(caFile !== undefined && { ca: await readCertificates(caFile) }),
    ...(certFile !== undefined && keyFile !== undefined && (await readKeyPair(certFile, keyFile))),
    ...(isIP(name) === 0 && { servername: name }),
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
    // Clients differ in what they take for the name; this is what the operator meant.
    checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
  };
}

function unusable(message: string, details: { hint?: string; cause?: unknown }): TidemarkError {
  return new TidemarkError('STORE_UNREACHABLE', `TLS: ${message}`, details);
}

async function read(path: string): Promise<Buffer> {
  try {
    return Buffer.from(await readSmallFile(path, MAX_FILE_BYTES));
  } catch (error) {
    throw fromSystem(error, 'STORE_UNREACHABLE', `TLS: the file ${path} can’t be read`);
  }
}

/** OpenSSL would take a file without certificates for an empty list. */
async function readCertificates(path: string): Promise<Buffer> {
  const bytes = await read(path);
  parseCertificates(bytes, path);
  return bytes;
}

function parseCertificates(bytes: Buffer, path: string): readonly [X509Certificate, ...X509Certificate[]] {
  const blocks = bytes.toString('latin1').match(CERTIFICATE) ?? [];
  try {
    const [first, ...rest] = blocks.map((block) => new X509Certificate(block));
    if (first) return [first, ...rest];
  } catch (cause) {
    throw unusable(`${path} holds a damaged certificate`, { cause, hint: HINT_PEM });
  }
  throw unusable(`${path} holds no certificate`, { hint: HINT_PEM });
}

const HINT_PEM = 'Name a PEM file, whose text begins with -----BEGIN.';

async function readKeyPair(
  certFile: string,
  keyFile: string,
): Promise<{ readonly cert: Buffer; readonly key: Buffer }> {
  const [cert, key] = [await read(certFile), await read(keyFile)];
  const [certificate] = parseCertificates(cert, certFile);
  if (/-----BEGIN ENCRYPTED|Proc-Type: 4,ENCRYPTED/.test(key.toString('latin1'))) {
    const hint = 'Name a key without one, which only this user may read; `openssl pkey` writes it.';
    throw unusable(`the key ${keyFile} is locked by a passphrase`, { hint });
  }
  if (!certificate.checkPrivateKey(parseKey(key, keyFile))) {
    throw unusable(`the key ${keyFile} does not belong to the certificate ${certFile}`, {
      hint: 'Name the two that were made together; the client’s own certificate comes first in its file.',
    });
  }
  return { cert, key };
}

function parseKey(bytes: Buffer, path: string): ReturnType<typeof createPrivateKey> {
  try {
    return createPrivateKey(bytes);
  } catch (cause) {
    throw unusable(`${path} holds no private key`, { cause, hint: HINT_PEM });
  }
}
