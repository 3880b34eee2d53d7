import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { must } from '../../../src/core/must.ts';
import type { Recorder } from '../../../src/core/recorder.ts';
import type { Run, Runtime } from '../../../src/core/run.ts';
import { writeStoreBase } from '../../../src/app/store-base.ts';
import { parseManifest } from '../../../src/config/parse-manifest.ts';
import { decodeAttributes } from '../../../src/connectors/postgres/attributes.ts';
import { createCrc32c } from '../../../src/connectors/postgres/base/crc32c.ts';
import { manifestCrc } from '../../../src/connectors/postgres/base/backup-manifest.ts';
import { isRelationFile } from '../../../src/connectors/postgres/base/entries.ts';
import { FOLDERS } from '../../../src/connectors/postgres/data-directory.ts';
import { openPostgresRecorder } from '../../../src/connectors/postgres/recorder.ts';
import { newestPosition } from '../../../src/repository/catalogue.ts';
import type { RepositoryWriter, WrittenBase } from '../../../src/repository/writer.ts';
import { RepositoryFixture } from '../../../src/testing/repository-fixture.ts';
import type { PostgresServer } from '../../servers/postgres.ts';
import { serverOwner } from '../../servers/postgres.ts';
import { startProxy } from '../../servers/proxy.ts';
import { placeOfUrl, runtime } from './recording.ts';

const CHUNKS = { minBytes: 4_096, averageBytes: 16_384, maxBytes: 65_536, pageBytes: 65_536 };

/** `sentBytes`: by the server, and to it. */
export type RepeatedBase = {
  readonly written: WrittenBase;
  readonly sentBytes: number;
  readonly warnings: readonly string[];
};

type Taking = { readonly isWhole?: boolean; readonly user?: string; readonly readAllEvery?: number };

/** Bases of servers in one repository, each over the one before where the server can. */
export class RepeatedBases implements AsyncDisposable {
  readonly fixture: RepositoryFixture;

  private constructor(fixture: RepositoryFixture) {
    this.fixture = fixture;
  }

  static async create(): Promise<RepeatedBases> {
    return new RepeatedBases(await RepositoryFixture.create('postgres', { chunks: CHUNKS }));
  }

  /** With the log that it needs. `isWhole`: as if there had been none before. */
  async take(
    server: PostgresServer,
    { isWhole = false, user = 'postgres', readAllEvery = 30 }: Taking = {},
  ): Promise<RepeatedBase> {
    const { run, clock } = this.fixture;
    await using proxy = await startProxy({ toPort: server.port });
    await using writer = await this.fixture.openWriter({ writer: 'host' });
    const warnings: string[] = [];
    const logger: Runtime['logger'] = {
      log: (_level, message, fields) => warnings.push(`${message}: ${String(fields?.['reason'])}`),
    };
    const url = `postgres://${user}@127.0.0.1:${proxy.port}/postgres`;
    const previous = newestPosition(writer.catalogue, 'db');
    await using recorder = await openPostgresRecorder(
      placeOfUrl(url, { options: { readAllEvery } }),
      { runtime: { ...runtime, logger }, previous },
      run,
    );
    const written = await writeOne({ writer, recorder: isWhole ? withoutEarlier(recorder) : recorder, warnings }, run);
    await this.#end(writer);
    await clock.advance(1000);
    return { written, sentBytes: proxy.bytes, warnings };
  }

  /** By a recorder that is open, beside the log that it records. */
  async takeBy(recorder: Recorder): Promise<WrittenBase> {
    await using writer = await this.fixture.openWriter({ writer: 'host' });
    const written = await writeOne({ writer, recorder, warnings: [] }, this.fixture.run);
    await this.#end(writer);
    await this.fixture.clock.advance(1000);
    return written;
  }

  /** Its files, by name. */
  async files({ written }: Pick<RepeatedBase, 'written'>): Promise<ReadonlyMap<string, Buffer>> {
    const { run } = this.fixture;
    await using reader = await this.fixture.openReader();
    const base = await reader.base(must(reader.catalogue.bases.get(written.key), 'the base'), run);
    const files = new Map<string, Buffer>();
    for await (const batch of base.entries(run)) {
      for (const { name, attributes, content } of batch) {
        const { type, sizeBytes } = decodeAttributes(attributes);
        if (type === 'folder') continue;
        const bytes = content === undefined ? [] : await Array.fromAsync(base.read(content, run));
        const path = Buffer.from(name).toString();
        files.set(path, Buffer.concat(bytes));
        if (path !== 'backup_manifest') assert.equal(files.get(path)?.byteLength, sizeBytes, path);
      }
    }
    return files;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fixture[Symbol.asyncDispose]();
  }

  async #end(writer: RepositoryWriter): Promise<void> {
    await writer.putRun(this.fixture.run, { outcome: 'done', summary: {} });
    await writer.end(this.fixture.run);
  }
}

async function writeOne(
  { writer, recorder, warnings }: { writer: RepositoryWriter; recorder: Recorder; warnings: string[] },
  run: Run,
): Promise<WrittenBase> {
  const manifest = 'application: test\nrepository: /nowhere\nstores:\n  db: postgres://postgres@127.0.0.1/postgres\n';
  const configuration = await parseManifest(manifest, { file: 'tidemark.yaml', folder: '/' });
  const store = must(configuration.stores[0], 'a store');
  return await writeStoreBase(
    { context: { progress: { report() {} }, warn: (message) => warnings.push(message) } },
    { store, configuration, recorder, allowEmpty: true, writer },
    run,
  );
}

function withoutEarlier(recorder: Recorder): Recorder {
  const { lineage, exact } = recorder;
  return { lineage, exact, openBase: (run) => recorder.openBase(run), async [Symbol.asyncDispose]() {} };
}

/** Writes the files of a base for a server, each tablespace as a folder of the data directory. `more`: writes what else there is. */
export function writeFiles(files: ReadonlyMap<string, Buffer>, folder: string, more = (): void => undefined): void {
  for (const name of [...FOLDERS, 'pg_wal/summaries']) mkdirSync(join(folder, name), { recursive: true });
  for (const [name, bytes] of files) {
    if (name === 'tablespace_map') continue;
    mkdirSync(join(folder, dirname(name)), { recursive: true });
    writeFileSync(join(folder, name), bytes);
  }
  more();
  const owner = serverOwner();
  if (owner) execFileSync('chown', ['-R', `${owner.uid}:${owner.gid}`, folder]);
  execFileSync('chmod', ['-R', 'u=rwX,g-rwx,o-rwx', folder]);
}

/** Files of relations are what the server has on its disk, byte for byte. It must be idle, and have all written. */
export function assertAsOnServer(files: ReadonlyMap<string, Buffer>, server: PostgresServer, about: string): void {
  let compared = 0;
  for (const [name, bytes] of files) {
    if (!isRelationFile(name)) continue;
    assert.ok(bytes.equals(readFileSync(join(server.folder, name))), `${name} is as on the server; ${about}`);
    compared++;
  }
  assert.ok(compared > 100, `${compared} files of relations`);
}

/** As `pg_verifybackup` does it: each file has the size and the checksum that the manifest has for it, and each file is in it. Returns how many have a checksum. */
export function verifyManifest(files: ReadonlyMap<string, Buffer>): number {
  const text = must(files.get('backup_manifest'), 'a manifest').toString();
  const end = text.lastIndexOf('\n', text.length - 2) + 1;
  const manifest = JSON.parse(text) as {
    readonly Files: readonly { readonly Path: string; readonly Size: number; readonly Checksum?: string }[];
    readonly 'Manifest-Checksum': string;
  };
  assert.equal(createHash('sha256').update(text.slice(0, end)).digest('hex'), manifest['Manifest-Checksum']);
  const crc = createCrc32c();
  const listed = new Set<string>();
  let summed = 0;
  for (const { Path: path, Size: sizeBytes, Checksum: checksum } of manifest.Files) {
    const bytes = must(files.get(path), `${path}, which is in the manifest`);
    assert.equal(bytes.byteLength, sizeBytes, path);
    assert.ok(!listed.has(path), `${path} is in it once`);
    listed.add(path);
    if (checksum === undefined) continue;
    crc.reset();
    crc.update(bytes);
    assert.equal(manifestCrc(crc.digest()), checksum, path);
    summed++;
  }
  const others = [...files.keys()].filter((path) => !listed.has(path) && !path.startsWith('pg_wal/'));
  assert.deepEqual(others.sort(), ['backup_manifest', 'tidemark/server.json']);
  return summed;
}

/** Of each table of a server that is in its log: how many rows it has, and a sum over them. */
export async function tablesOf(server: PostgresServer): Promise<ReadonlyMap<string, string>> {
  const rows = await server.query(
    "SELECT oid::regclass AS name FROM pg_class WHERE relkind = 'r' AND relpersistence = 'p' AND relnamespace = 'public'::regnamespace ORDER BY relname",
  );
  const found = new Map<string, string>();
  for (const { name } of rows) {
    const sum = `SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM ${String(name)} t`;
    found.set(String(name), await server.value(sum));
  }
  return found;
}
