import { createCRC32 } from 'hash-wasm';
import type { IHasher } from 'hash-wasm';
import { readerOf } from '../../../core/byte-reader.ts';
import { TidemarkError } from '../../../core/errors.ts';
import { assume, BugError } from '../../../core/must.ts';
import type { Position } from '../../../core/position.ts';
import type { Base, BaseEnd, ByteReader, Content, Entry } from '../../../core/recorder.ts';
import type { Run } from '../../../core/run.ts';
import { encodeAttributes } from '../attributes.ts';
import { serverError, SqlState, sqlState } from '../errors.ts';
import type { WalPlace } from '../lsn.ts';
import type { ReplicationSocket } from '../replication-socket.ts';
import { BackupStream } from './backup-stream.ts';
import type { BackupPart } from './backup-stream.ts';
import { ManifestCheck, manifestCrc } from './backup-manifest.ts';
import type { FileSum } from './backup-manifest.ts';
import { isWalSegment } from '../wal/base-log.ts';
import { TarReader } from './tar-reader.ts';
import type { TarEntry } from './tar-reader.ts';

export const MANIFEST_NAME = 'backup_manifest';

/** Forks of relations: what is changed in them are pages. */
const RELATION_FILE =
  /^(?:base\/[0-9]+|global|pg_tblspc\/[0-9]+\/[^/]+\/[0-9]+)\/(?:t[0-9]+_)?[0-9]+(?:_(?:fsm|vm|init))?(?:\.[0-9]+)?$/;
/** The polynomial of CRC-32C, its bits reversed. */
const CASTAGNOLI = 0x82f63b78;
const MOST_WARNINGS = 20;
const MANIFEST_MODE = 0o600;

export type ExtraFile = { readonly name: string; readonly bytes: Uint8Array };

export type PhysicalBaseOptions = {
  readonly socket: ReplicationSocket;
  readonly server: string;
  readonly versionNumber: number;
  /** Also the log that it needs to be whole. */
  readonly withLog: boolean;
  /** What is to be in it as well, unless the server sends it. */
  readonly more: readonly ExtraFile[];
  /** What the positions of the base are. Called once, when all has come. */
  ends(
    places: { readonly start: WalPlace; readonly stop: WalPlace },
    run: Run,
  ): Promise<{ readonly logFrom: Position; readonly cut: Position }>;
};

/** Asks the server for all its files, with page checksums verified by it. @throws STORE_UNREACHABLE */
export async function openPhysicalBase(options: PhysicalBaseOptions, run: Run): Promise<Base> {
  const base = new PhysicalBase(options, await createCRC32(CASTAGNOLI), run);
  try {
    await base.begin();
    return base;
  } catch (error) {
    await base[Symbol.asyncDispose]();
    throw error;
  }
}

/** A server's data directory as `BASE_BACKUP` sends it, read on the fly. */
class PhysicalBase implements Base {
  readonly order = 'arrival';
  readonly entries: AsyncIterable<readonly Entry[]>;
  readonly #options: PhysicalBaseOptions;
  readonly #stream: BackupStream;
  readonly #run: Run;
  readonly #hasher: IHasher;
  readonly #warnings: string[] = [];
  readonly #sums = new Map<string, FileSum>();
  readonly #missing: Map<string, ExtraFile>;
  #start: WalPlace | undefined;
  #isDrained = false;
  /** What came up first. Whoever reads ahead pulls the next entry before the one before is known to have failed. */
  #failure: { readonly error: unknown } | undefined;

  constructor(options: PhysicalBaseOptions, hasher: IHasher, run: Run) {
    this.#options = options;
    this.#missing = new Map(options.more.map((file) => [file.name, file]));
    this.#run = run;
    this.#hasher = hasher;
    this.#stream = new BackupStream(options.socket, options.versionNumber, (message) => {
      if (this.#warnings.length < MOST_WARNINGS) this.#warnings.push(message);
    });
    this.entries = this.#batches();
  }

  async begin(): Promise<void> {
    this.#start = await this.#asking(() => this.#stream.begin(this.#options, this.#run));
  }

  /** What was sent is sent once: there is no other try, and nothing of a server may be left out. */
  async retry(_entry: Entry, cause: unknown, { signal }: Run): Promise<never> {
    signal.throwIfAborted();
    throw cause;
  }

  async finish(run: Run): Promise<BaseEnd> {
    run.signal.throwIfAborted();
    const start = this.#start;
    assume(this.#isDrained && start !== undefined, 'all entries were pulled and read');
    const { logFrom, cut } = await this.#options.ends({ start, stop: this.#stream.stop }, run);
    return { logFrom, cut, skipped: [], skippedCount: 0, incompleteCount: 0 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#options.socket[Symbol.asyncDispose]();
  }

  async *#batches(): AsyncGenerator<readonly Entry[]> {
    for (;;) {
      const part = await this.#asking(() => this.#stream.nextPart(this.#run));
      if (part === undefined) break;
      if (part.kind === 'archive') yield* this.#archive(part);
      else yield* this.#manifest();
    }
    for (const file of this.#missing.values()) yield [extraEntry(file)];
    this.#isDrained = true;
  }

  async *#archive({ tablespace }: BackupPart & { readonly kind: 'archive' }): AsyncGenerator<readonly Entry[]> {
    let run = this.#run;
    const tar = new TarReader(() => this.#stream.data(run));
    const below = tablespace === undefined ? '' : `pg_tblspc/${tablespace}`;
    for (;;) {
      const found = await this.#asking(() => tar.next());
      if (found === undefined) return;
      const path = [below, found.name].filter((part) => part !== '').join('/');
      if (path === '') continue;
      this.#missing.delete(path);
      assume(found.type !== 'link', 'no links, since there is a map of the tablespaces');
      const file = new ReadOnce(
        () => this.#fileReader(path, tar, found),
        (opened) => {
          run = opened;
        },
      );
      yield [entryOf(path, found, file)];
      if (found.type === 'folder') continue;
      if (found.sizeBytes === 0) this.#sums.set(path, { sizeBytes: 0, crc: this.#emptySum() });
      this.#assumeRead(tar.isAtEnd && this.#sums.has(path), path);
      // The manifest tells of the log as a range, not of its files.
      if (isWalSegment(path)) this.#sums.delete(path);
      run = this.#run;
    }
  }

  #fileReader(path: string, tar: TarReader, { sizeBytes }: TarEntry): ByteReader {
    this.#hasher.init();
    return {
      read: async (into) => {
        const count = await this.#asking(() => tar.read(into, (bytes) => this.#hasher.update(bytes)));
        if (tar.isAtEnd && !this.#sums.has(path)) {
          this.#sums.set(path, { sizeBytes, crc: manifestCrc(this.#hasher.digest('hex')) });
        }
        return count;
      },
      async [Symbol.asyncDispose]() {},
    };
  }

  async *#manifest(): AsyncGenerator<readonly Entry[]> {
    const check = new ManifestCheck(this.#sums);
    let isRead = false;
    let rest: Buffer = Buffer.alloc(0);
    let run = this.#run;
    const read = async (into: Uint8Array): Promise<number> => {
      while (rest.byteLength === 0 && !isRead) {
        const piece = await this.#asking(() => this.#stream.data(run));
        isRead = piece === undefined;
        rest = piece ?? rest;
        if (piece === undefined) check.finish();
        else check.update(piece);
      }
      const count = rest.copy(into);
      rest = rest.subarray(count);
      return count;
    };
    const content = new ReadOnce(
      () => ({ read, async [Symbol.asyncDispose]() {} }),
      (opened) => {
        run = opened;
      },
    );
    yield [
      {
        name: Buffer.from(MANIFEST_NAME),
        estimatedBytes: 0,
        describe: () => ({
          attributes: encodeAttributes({ type: 'file', mode: MANIFEST_MODE, sizeBytes: 0, mtimeS: 0 }),
          content: content.as('stream'),
        }),
      },
    ];
    this.#assumeRead(isRead, MANIFEST_NAME);
  }

  #emptySum(): string {
    return manifestCrc(this.#hasher.init().digest('hex'));
  }

  #assumeRead(isRead: boolean, path: string): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    assume(isRead, `${path} was read to its end`);
  }

  async #asking<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      const told = this.#told(error);
      this.#failure ??= { error: told };
      throw told;
    }
  }

  #told(error: unknown): unknown {
    if (sqlState(error) !== SqlState.dataCorrupted) {
      return error instanceof BugError || this.#run.signal.aborted ? error : serverError(this.#options.server, error);
    }
    const [first = 'a page’s checksum is wrong'] = this.#warnings;
    return new TidemarkError('STORE_UNREACHABLE', `${this.#options.server} has damaged data: ${first}`, {
      cause: error,
      hint: 'Find out what the disk did, and restore or rebuild what is named. The bases before this one, and the log, stay as they are.',
    });
  }
}

function extraEntry({ name, bytes }: ExtraFile): Entry {
  const { byteLength: sizeBytes } = bytes;
  return {
    name: Buffer.from(name),
    estimatedBytes: sizeBytes,
    describe: () => ({
      attributes: encodeAttributes({ type: 'file', mode: MANIFEST_MODE, sizeBytes, mtimeS: 0 }),
      content: { kind: 'reader', cut: 'stream', open: async () => readerOf(bytes) },
    }),
  };
}

function entryOf(path: string, { type, mode, sizeBytes, mtimeS }: TarEntry, file: ReadOnce): Entry {
  assume(type !== 'link', 'a file or a folder');
  const hasContent = type === 'file' && sizeBytes > 0;
  return {
    name: Buffer.from(path, 'latin1'),
    estimatedBytes: hasContent ? sizeBytes : 0,
    describe: () => ({
      attributes: encodeAttributes({ type, mode, sizeBytes: type === 'file' ? sizeBytes : 0, mtimeS }),
      ...(hasContent && { content: file.as(RELATION_FILE.test(path) ? 'pages' : 'stream') }),
    }),
  };
}

/** A content on a stream that passes once. */
class ReadOnce {
  readonly #open: () => ByteReader;
  readonly #onOpen: (run: Run) => void;
  #isOpened = false;

  constructor(open: () => ByteReader, onOpen: (run: Run) => void) {
    this.#open = open;
    this.#onOpen = onOpen;
  }

  as(cut: Content['cut']): Content {
    return {
      cut,
      kind: 'reader',
      open: async (run) => {
        assume(!this.#isOpened, 'a content that passes once');
        this.#isOpened = true;
        this.#onOpen(run);
        return this.#open();
      },
    };
  }
}
