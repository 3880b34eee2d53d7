import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { GuardedFolder } from './guarded.ts';

const run = promisify(execFile);

/** A certificate and its private key, PEM files. */
export type KeyPair = { readonly cert: string; readonly key: string };

/** Paths of PEM files. The names that servers are called by are `localhost` and `127.0.0.1`. */
export type Certificates = Disposable &
  KeyPair & {
    /** Signed all of them but `wrongServer`. */
    readonly ca: string;
    /** Signed none of the others. */
    readonly wrongCa: string;
    /** For a client that must show who it is; its common name is `backup`. */
    readonly client: KeyPair;
    /** Valid, of our authority, for the name `elsewhere.example` only. */
    readonly wrongName: KeyPair;
    readonly expired: KeyPair;
    /** For the right name, of the wrong authority. */
    readonly wrongServer: KeyPair;
  };

type Kind = { readonly name: string; readonly commonName: string; readonly names: string; readonly ca?: string };

/** Made anew in a temporary folder by `openssl`. */
export async function makeCertificates(): Promise<Certificates> {
  const folder = new GuardedFolder('certificates');
  const at = (name: string): KeyPair => ({
    cert: join(folder.path, `${name}.pem`),
    key: join(folder.path, `${name}.key`),
  });
  const openssl = async (...args: readonly string[]): Promise<void> => void (await run('openssl', args));
  const newKey = (key: string): readonly string[] =>
    `-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ${key}`.split(' ');

  const authority = async (name: string): Promise<void> => {
    const { cert, key } = at(name);
    const subject = ['-subj', `/CN=tidemark test ${name}`, '-days', '30'];
    await openssl('req', '-x509', ...newKey(key), '-out', cert, ...subject);
  };

  const issue = async ({ name, commonName, names, ca = 'ca' }: Kind): Promise<KeyPair> => {
    const { cert, key } = at(name);
    const request = join(folder.path, `${name}.csr`);
    await openssl('req', ...newKey(key), '-out', request, '-subj', `/CN=${commonName}`);
    const database = join(folder.path, `${name}.db`);
    mkdirSync(database);
    writeFileSync(join(database, 'index'), '');
    const config = join(database, 'config');
    const issuer = at(ca);
    writeFileSync(
      config,
      `[ca]\ndefault_ca=d\n[d]\ndatabase=${database}/index\nnew_certs_dir=${database}\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n` +
        `certificate=${issuer.cert}\nprivate_key=${issuer.key}\nx509_extensions=x\n[p]\ncommonName=supplied\n[x]\nsubjectAltName=${names}\n`,
    );
    const until = name === 'expired' ? '20200102000000Z' : '20491231235959Z';
    const validity = ['-startdate', '20200101000000Z', '-enddate', until];
    await openssl('ca', '-batch', '-notext', '-config', config, '-in', request, '-out', cert, ...validity);
    return { cert, key };
  };

  const names = 'DNS:localhost,IP:127.0.0.1';
  await Promise.all(['ca', 'wrong-ca'].map(authority));
  const [server, client, wrongName, expired, wrongServer] = await Promise.all([
    issue({ name: 'server', commonName: 'localhost', names }),
    issue({ name: 'client', commonName: 'backup', names: 'DNS:backup' }),
    issue({ name: 'wrong-name', commonName: 'elsewhere.example', names: 'DNS:elsewhere.example' }),
    issue({ name: 'expired', commonName: 'localhost', names }),
    issue({ name: 'wrong-server', commonName: 'localhost', names, ca: 'wrong-ca' }),
  ]);
  const dispose = (): void => folder[Symbol.dispose]();
  const authorities = { ca: at('ca').cert, wrongCa: at('wrong-ca').cert };
  return { ...server, ...authorities, client, wrongName, expired, wrongServer, [Symbol.dispose]: dispose };
}
