import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { recorderOfSource } from '../../src/archive/source-recorder.ts';
import { openEmbedded } from '../../src/connectors/embedded/connector.ts';
import type { EmbeddedStore } from '../../src/connectors/embedded/connector.ts';
import { openEmbeddedSource } from '../../src/connectors/embedded/source.ts';
import { filesConnector } from '../../src/connectors/files/connector.ts';
import { must } from '../../src/core/must.ts';
import type { Position } from '../../src/core/position.ts';
import type { Base } from '../../src/core/recorder.ts';
import { PayloadBuilder, payloadOf } from '../../src/repository/format/log-payload.ts';
import type { SegmentDraft } from '../../src/repository/journal-writer.ts';
import type { Mark } from '../../src/repository/mark.ts';
import type { RepositoryWriter, WrittenBase } from '../../src/repository/writer.ts';
import type { MemoryObjectStore } from '../../src/testing/memory-object-store.ts';
import { positionAt, RepositoryFixture } from '../../src/testing/repository-fixture.ts';
import { temporaryFolder } from '../../src/testing/tree/temporary-folder.ts';
import type { TemporaryFolder } from '../../src/testing/tree/temporary-folder.ts';

const MANIFEST = `application: shop
repository: ./backups
stores:
  catalog: embedded:./catalog.db
  uploads: files:./uploads
`;
/** What a restore of such a repository takes; the fixture's own. */
export const PASSPHRASE = 'the passphrase of a test';

/** Paths with what is there, and keys with their values: what a restore has to bring back. */
export type Moment = {
  readonly uploads: Readonly<Record<string, string>>;
  readonly catalog: Readonly<Record<string, string>>;
};

type Observed = { readonly changed?: readonly string[]; readonly removed?: readonly string[] };

/** What lies in a folder: type, mode, and of files the time and a digest of the content. Folders have no time here. */
export function uploadsIn(folder: string): Moment['uploads'] {
  const paths = ['', ...readdirSync(folder, { recursive: true, encoding: 'utf8' })].toSorted();
  return Object.fromEntries(
    paths.map((path) => {
      const full = join(folder, path);
      const stat = lstatSync(full);
      const mode = (stat.mode & 0o7777).toString(8);
      if (stat.isSymbolicLink()) return [path, `link ${readlinkSync(full)}`];
      if (stat.isDirectory()) return [path, `folder ${mode}`];
      const digest = createHash('sha256').update(readFileSync(full)).digest('hex');
      return [path, `file ${mode} ${Math.floor(stat.mtimeMs)} ${stat.size} ${digest}`];
    }),
  );
}

/** The keys and values of an embedded store, in hexadecimal; of a large value a digest. */
export function catalogIn(store: EmbeddedStore): Moment['catalog'] {
  const digest = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest().subarray(0, 16);
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes.length > 32 ? digest(bytes) : bytes).toString('hex');
  return Object.fromEntries(
    [...store.range()].map(({ key, value, expiresAtMs }) => [hex(key), `${hex(value)} ${expiresAtMs ?? ''}`.trim()]),
  );
}

/** A small application whose repository has bases, logs and marks, written by the product's own parts, one step at a time. */
export class LoggedShop implements AsyncDisposable {
  readonly fixture: RepositoryFixture;
  readonly folder: TemporaryFolder;
  readonly catalog: EmbeddedStore;
  /** By the id of a mark. */
  readonly moments = new Map<string, Moment>();
  #writer: RepositoryWriter | undefined;
  #uploads = 0;
  #lineage = 'uploads';
  #logged: Position | undefined;

  private constructor(fixture: RepositoryFixture, folder: TemporaryFolder) {
    this.fixture = fixture;
    this.folder = folder;
    mkdirSync(folder.at('uploads'));
    this.catalog = openEmbedded(folder.at('catalog.db'));
  }

  static async open(seed: string): Promise<LoggedShop> {
    return new LoggedShop(await RepositoryFixture.create(seed), temporaryFolder('tidemark-logged'));
  }

  get writer(): RepositoryWriter {
    return must(this.#writer, 'a session');
  }

  /** Where the log of uploads has come to. */
  get uploadsAt(): Position {
    return { ...positionAt(this.#uploads), lineage: this.#lineage };
  }

  get catalogAt(): Position {
    return must(this.#logged, 'a base of the catalog');
  }

  async begin(): Promise<void> {
    this.#writer = await this.fixture.openWriter({ writer: 'shop@golden' });
  }

  async end(): Promise<void> {
    await this.writer.publish(this.fixture.run);
    await this.writer.end(this.fixture.run);
    this.fixture.remembered = this.writer.heads;
    await this.writer[Symbol.asyncDispose]();
    await this.fixture.clock.advance(60_000);
  }

  /** A file of that content; its time is always the same. */
  write(path: string, content: string | Uint8Array): void {
    const full = this.folder.at('uploads', path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, content);
    utimesSync(full, 1_790_000_000, 1_790_000_000);
  }

  remove(path: string): void {
    rmSync(this.folder.at('uploads', path), { recursive: true });
  }

  async baseOfCatalog(): Promise<WrittenBase> {
    await using recorder = recorderOfSource(openEmbeddedSource({ file: this.folder.at('catalog.db') }, this.#runtime));
    await using base = await recorder.openBase(this.fixture.run);
    const written = await this.#writeBase('catalog', 'embedded', base);
    this.#logged ??= written.cut;
    return written;
  }

  /** `logFrom`: makes a fuzzy base of what is there now, as if it had been read from then on. */
  async baseOfUploads(logFrom?: Position): Promise<WrittenBase> {
    if (this.#uploads === 0) this.#uploads = 1;
    const cut = this.uploadsAt;
    await using base = await this.#scan({ logFrom: logFrom ?? cut, cut });
    return await this.#writeBase('uploads', 'files', base);
  }

  /** What the history of the catalog has not told yet. */
  async logOfCatalog(): Promise<SegmentDraft> {
    const { run } = this.fixture;
    await using recorder = recorderOfSource(openEmbeddedSource({ file: this.folder.at('catalog.db') }, this.#runtime));
    const head = await must(recorder.head, 'a head')(run);
    const after = this.catalogAt;
    assert.ok(after.order < head.order, 'there is something to record: on virtual time the log is silent without it');
    await using log = await must(recorder.openLog, 'a log')(after, run);
    const builder = new PayloadBuilder();
    let changes = 0;
    for await (const pieces of log) {
      for (const piece of pieces) {
        if (piece.changes.length === 0 && (piece.commit?.position.order ?? '') <= this.catalogAt.order) continue;
        builder.piece(piece);
        changes += piece.changes.length;
        this.#logged = piece.commit?.position ?? this.#logged;
      }
      if (this.catalogAt.order >= head.order) break;
    }
    const frames = this.writer.sealFrame('catalog', payloadOf(after, [builder.takePieces()]));
    return this.#draft('catalog', { after, upTo: this.catalogAt, changes, packs: [], frames });
  }

  /** What became of these paths, as an observation tells it. */
  async observe({ changed = [], removed = [] }: Observed): Promise<SegmentDraft> {
    const after = this.uploadsAt;
    this.#uploads += 1;
    const upTo = this.uploadsAt;
    await using base = await this.#scan({ logFrom: upTo, cut: upTo, only: changed });
    const { leaves, packs } = await this.writer.storeObservation(base, this.fixture.run);
    const gone = removed.map((path) => ({ name: nameOf(path), removed: true }) as const);
    const builder = new PayloadBuilder();
    builder.piece({ changes: [...gone, ...leaves], commit: { position: upTo, atMs: this.fixture.clock.nowMs() } });
    const frames = this.writer.sealFrame('uploads', payloadOf(after, [builder.takePieces()]));
    return this.#draft('uploads', { after, upTo, changes: gone.length + leaves.length, packs, frames });
  }

  /** A mark of where the stores are now. `kept`: what a floor keeps of what is not there any more. */
  mark(options: Partial<Mark> & { readonly kept?: Moment['uploads'] } = {}): Mark {
    const { kept = {}, ...rest } = options;
    const mark = {
      ...this.fixture.markOf(new Map()),
      positions: { catalog: this.catalogAt, uploads: this.uploadsAt },
      ...rest,
    };
    const uploads = { ...uploadsIn(this.folder.at('uploads')), ...kept };
    this.moments.set(mark.id, { uploads, catalog: catalogIn(this.catalog) });
    return mark;
  }

  async put(segments: readonly SegmentDraft[], marks: readonly Mark[] = []): Promise<void> {
    await this.writer.putJournal({ marks, segments, gaps: [] }, this.fixture.run);
    await this.fixture.clock.advance(2000);
  }

  /** A recorder lost its place: histories of uploads begin anew. */
  async loseUploads(): Promise<void> {
    const after = this.uploadsAt;
    const nowMs = this.fixture.clock.nowMs();
    const gap = { store: 'uploads', history: 'uploads', after, fromMs: nowMs - 1000, toMs: nowMs, reason: 'overflow' };
    await this.writer.putJournal({ marks: [], segments: [], gaps: [gap] }, this.fixture.run);
    this.#lineage = 'uploads anew';
    this.#uploads = 1;
  }

  /** The repository as a folder. */
  export(path: string): void {
    exportTo(this.fixture.memory, path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.catalog[Symbol.dispose]();
    await this.folder[Symbol.asyncDispose]();
    await this.fixture[Symbol.asyncDispose]();
  }

  get #runtime() {
    return this.fixture.runtime;
  }

  async #writeBase(store: string, connector: string, base: Base): Promise<WrittenBase> {
    return await this.writer.writeBase(
      {
        store,
        history: store,
        exact: connector === 'files' ? 'observation' : 'position',
        connector,
        url: `${connector}:./${store}`,
        base,
        manifest: MANIFEST,
        allowEmpty: true,
        onProgress: () => undefined,
      },
      this.fixture.run,
    );
  }

  async #scan(at: {
    readonly logFrom: Position;
    readonly cut: Position;
    readonly only?: readonly string[];
  }): Promise<Base> {
    const { logFrom, cut, only } = at;
    const folder = this.folder.at('uploads');
    const options = { include: [], exclude: [], oneFileSystem: false, cacheDirTag: false, excludeFolders: [] };
    const { run, runtime } = this.fixture;
    const recorder = await filesConnector.openRecorder({ folder, ...options }, { runtime }, run);
    const base = await recorder.openBase(run);
    const wanted = only && new Set(only.map((path) => nameOf(path).toString('latin1')));
    return {
      entries: (async function* () {
        for await (const batch of base.entries) {
          yield batch.filter(({ name }) => wanted?.has(Buffer.from(name).toString('latin1')) ?? true);
        }
      })(),
      retry: (entry, cause, inner) => base.retry(entry, cause, inner),
      finish: async (inner) => ({ ...(await base.finish(inner)), logFrom, cut }),
      async [Symbol.asyncDispose]() {
        await base[Symbol.asyncDispose]();
        await recorder[Symbol.asyncDispose]();
      },
    };
  }

  #draft(store: string, rest: Pick<SegmentDraft, 'after' | 'upTo' | 'changes' | 'packs' | 'frames'>): SegmentDraft {
    const nowMs = this.fixture.clock.nowMs();
    return { store, history: store, fromMs: nowMs, toMs: nowMs, ...rest };
  }
}

/** What is in memory as a folder. */
export function exportTo(memory: MemoryObjectStore, path: string): void {
  for (const key of memory.keys()) {
    mkdirSync(dirname(join(path, key)), { recursive: true });
    writeFileSync(join(path, key), must(memory.get(key), 'an object'));
  }
}

/** Segments that follow on each other, as one. */
export function joined(segments: readonly SegmentDraft[]): SegmentDraft {
  const [first, last] = [must(segments[0], 'a segment'), must(segments.at(-1), 'a segment')];
  return {
    ...first,
    upTo: last.upTo,
    toMs: last.toMs,
    changes: segments.reduce((sum, { changes }) => sum + changes, 0),
    packs: [...new Set(segments.flatMap(({ packs }) => packs))].toSorted(),
    frames: Buffer.concat(segments.map(({ frames }) => frames)),
  };
}

function nameOf(path: string): Buffer {
  return Buffer.from(path.replaceAll('/', '\0'));
}
