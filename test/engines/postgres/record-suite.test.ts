import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { must } from '../../../src/core/must.ts';
import type { BaseReader } from '../../../src/core/restorer.ts';
import type { Run } from '../../../src/core/run.ts';
import { decodeAttributes } from '../../../src/connectors/postgres/attributes.ts';
import { postgresConnector } from '../../../src/connectors/postgres/connector.ts';
import { parseLsn } from '../../../src/connectors/postgres/lsn.ts';
import { openPostgresRecorder } from '../../../src/connectors/postgres/recorder.ts';
import { registerRecorderSuite } from '../../../src/testing/recorder-suite.ts';
import { serverOwner, startPostgres } from '../../servers/postgres.ts';
import type { PostgresServer } from '../../servers/postgres.ts';
import { placeOfUrl, runtime } from './recording.ts';

const SEGMENT_BYTES = 0x1000000n;
const ALL = 'SELECT key, value FROM kept';

async function write(base: BaseReader, folder: string, run: Run): Promise<void> {
  for await (const batch of base.entries(run)) {
    for (const { name, attributes, content } of batch) {
      const { type, mode } = decodeAttributes(attributes);
      const path = join(folder, Buffer.from(name).toString());
      mkdirSync(type === 'folder' ? path : dirname(path), { recursive: true, mode: 0o700 });
      if (type === 'folder') continue;
      const pieces = content === undefined ? [] : await Array.fromAsync(base.read(content, run));
      writeFileSync(path, Buffer.concat(pieces), { mode });
    }
  }
}

/** What the server logged up to where the base is whole, and nothing behind it. */
function copyWal(server: PostgresServer, folder: string): void {
  const manifest = readFileSync(join(folder, 'backup_manifest'), 'utf8');
  const end = must(parseLsn(/"End-LSN": "([^"]+)"/.exec(manifest)?.[1] ?? ''), 'where the base is whole');
  for (const name of readdirSync(join(server.folder, 'pg_wal'))) {
    if (!/^[0-9A-F]{24}$/.test(name)) continue;
    const start = (BigInt(`0x${name.slice(8, 16)}`) * 256n + BigInt(`0x${name.slice(16)}`)) * SEGMENT_BYTES;
    if (start >= end) continue;
    const bytes = readFileSync(join(server.folder, 'pg_wal', name));
    writeFileSync(
      join(folder, 'pg_wal', name),
      end - start < SEGMENT_BYTES ? bytes.fill(0, Number(end - start)) : bytes,
      { mode: 0o600 },
    );
  }
}

registerRecorderSuite({
  name: 'PostgreSQL, physical',
  traits: { exact: 'position', recognizes: false, passesOnce: true },
  connector: postgresConnector,
  async open() {
    await using left = new AsyncDisposableStack();
    const server = left.use(await startPostgres({ settings: { wal_keep_size: '1GB', autovacuum: 'off' } }));
    await server.query('CREATE TABLE kept (key text PRIMARY KEY, value text)');
    const client = new pg.Client({
      host: server.socketFolder,
      port: server.port,
      user: 'postgres',
      database: 'postgres',
    });
    await client.connect();
    left.defer(() => client.end());
    const folders = left.adopt(mkdtempSync(join(tmpdir(), 'tidemark-test-pg-')), (path) =>
      rmSync(path, { recursive: true, force: true }),
    );
    let restores = 0;
    const all = left.move();
    return {
      open: async (previous) =>
        await openPostgresRecorder(
          placeOfUrl(server.url),
          // Beside a log: alone a base holds files of the log, whose names are others each time.
          { runtime, previous, stateFolder: join(folders, 'state') },
          { signal: new AbortController().signal },
        ),
      async put(key, value) {
        if (value === undefined) await client.query('DELETE FROM kept WHERE key = $1', [key]);
        else {
          await client.query('INSERT INTO kept VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2', [
            key,
            value,
          ]);
        }
      },
      async restored(base, run) {
        const folder = join(folders, String(++restores));
        mkdirSync(folder);
        await write(base, folder, run);
        copyWal(server, folder);
        const owner = serverOwner();
        if (owner) execFileSync('chown', ['-R', `${owner.uid}:${owner.gid}`, folders]);
        execFileSync('chmod', ['-R', 'u=rwX,go=', folder]);
        await using copy = await startPostgres({ folder });
        return new Map((await copy.query(ALL)).map((row) => [String(row['key']), String(row['value'])]));
      },
      [Symbol.asyncDispose]: () => all[Symbol.asyncDispose](),
    };
  },
});
