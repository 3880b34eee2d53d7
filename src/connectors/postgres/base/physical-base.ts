import { TidemarkError } from '../../../core/errors.ts';
import { assume, BugError } from '../../../core/must.ts';
import type { Position } from '../../../core/position.ts';
import type { Base, BaseEnd, ByteReader, Entry, Skipped } from '../../../core/recorder.ts';
import type { Run } from '../../../core/run.ts';
import { serverError, SqlState, sqlState, unreachable } from '../errors.ts';
import type { WalPlace } from '../lsn.ts';
import type { ReplicationSocket } from '../replication-socket.ts';
import { BackupStream } from './backup-stream.ts';
import type { BackupPart } from './backup-stream.ts';
import { MANIFEST_NAME, ManifestCheck, manifestCrc, manifestFiles } from './backup-manifest.ts';
import type { ReceivedFile, StoredFile } from './backup-manifest.ts';
import { createCrc32c } from './crc32c.ts';
import type { EarlierBackup } from './earlier-backup.ts';
import { arrivingEntry, extraEntry, manifestEntry, patchedEntry, ReadOnce } from './entries.ts';
import type { ExtraFile } from './entries.ts';
import { changesPath, readIncrementalHeader, reconstruct, wholeLabel, wholePath } from './incremental-file.ts';
import { isWalSegment } from '../wal/base-log.ts';
import { skippedFile } from './skipped.ts';
import { TarReader } from './tar-reader.ts';
import type { TarEntry } from './tar-reader.ts';

const MOST_WARNINGS = 20;
const MOST_SKIPPED = 1_000;
const LABEL_NAME = 'backup_label';
const MOST_LABEL_BYTES = 64 * 1024;

export type PhysicalBaseOptions = {
  readonly socket: ReplicationSocket;
  readonly server: string;
  readonly versionNumber: number;
  /** Also the log that it needs to be whole. */
  readonly withLog: boolean;
  /** What the server is asked for the changes since. */
  readonly earlier?: EarlierBackup | undefined;
  /** Whether that may be: asked once the server has begun. */
  readonly confirm?: (() => Promise<void>) | undefined;
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
  const base = new PhysicalBase(options, run);
  try {
    await base.begin();
    return base;
  } catch (error) {
    await base[Symbol.asyncDispose]();
    throw error;
  }
}

/** A file or folder of an archive, of which nothing has been read yet. */
type Arriving = {
  readonly path: string;
  readonly found: TarEntry;
  readonly tar: TarReader;
  readonly onOpen: (run: Run) => void;
};

/** A server's data directory as `BASE_BACKUP` sends it, read on the fly. */
class PhysicalBase implements Base {
  readonly order = 'arrival';
  readonly entries: AsyncIterable<readonly Entry[]>;
  readonly #options: PhysicalBaseOptions;
  readonly #stream: BackupStream;
  readonly #run: Run;
  readonly #crc = createCrc32c();
  readonly #warnings: string[] = [];
  readonly #skipped: Skipped[] = [];
  #skippedCount = 0;
  #incompleteCount = 0;
  readonly #sums = new Map<string, ReceivedFile>();
  readonly #missing: Map<string, ExtraFile>;
  #start: WalPlace | undefined;
  #isDrained = false;
  /** What came up first. Whoever reads ahead pulls the next entry before the one before is known to have failed. */
  #failure: { readonly error: unknown } | undefined;

  constructor(options: PhysicalBaseOptions, run: Run) {
    this.#options = options;
    this.#missing = new Map(options.more.map((file) => [file.name, file]));
    this.#run = run;
    this.#stream = new BackupStream(options.socket, options.versionNumber, (message, routine) => {
      this.#noteWarning(message, routine);
    });
    this.entries = this.#batches();
  }

  async begin(): Promise<void> {
    const { earlier, withLog } = this.#options;
    const run = this.#run;
    if (earlier !== undefined) {
      const manifest = earlier.base.read(earlier.manifest, run);
      await this.#asking(() => this.#stream.upload(manifest, run));
    }
    this.#start = await this.#asking(() => this.#stream.begin({ withLog, isIncremental: earlier !== undefined }, run));
    await this.#options.confirm?.();
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
    const [skippedCount, incompleteCount] = [this.#skippedCount, this.#incompleteCount];
    return { logFrom, cut, skipped: this.#skipped, skippedCount, incompleteCount };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#options.socket[Symbol.asyncDispose]();
  }

  #noteWarning(message: string, routine: string): void {
    const skipped = skippedFile(message, routine);
    if (skipped === undefined) {
      if (this.#warnings.length < MOST_WARNINGS) this.#warnings.push(message);
      return;
    }
    this.#skippedCount++;
    if (skipped.incomplete) this.#incompleteCount++;
    if (this.#skipped.length < MOST_SKIPPED) this.#skipped.push(skipped);
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
      const arriving = { path, found, tar, onOpen: (opened: Run) => (run = opened) };
      yield [await this.#asking(() => this.#entry(arriving))];
      if (found.type === 'folder') continue;
      if (found.sizeBytes === 0) this.#sums.set(path, { sizeBytes: 0, crc: this.#emptySum() });
      this.#assumeRead(tar.isAtEnd && this.#sums.has(path), path);
      // The manifest tells of the log as a range, not of its files.
      if (isWalSegment(path)) this.#sums.delete(path);
      run = this.#run;
    }
  }

  async #entry(arriving: Arriving): Promise<Entry> {
    const { path, found, onOpen } = arriving;
    const { earlier } = this.#options;
    if (earlier !== undefined) {
      const whole = wholePath(path);
      // A file that lies about in the server's folder under such a name is none of its own.
      if (this.#sums.has(whole ?? changesPath(path))) throw unreachable(`the server sent ${whole ?? path} twice`);
      if (whole !== undefined) return await this.#patched(arriving, whole, earlier);
      if (path === LABEL_NAME) return await this.#label(arriving);
    }
    const open = (): ByteReader => {
      this.#crc.reset();
      return this.#fileReader(arriving);
    };
    return arrivingEntry(path, found, new ReadOnce(open, onOpen));
  }

  async #patched(arriving: Arriving, path: string, { base, shape }: EarlierBackup): Promise<Entry> {
    const { found, onOpen } = arriving;
    this.#crc.reset();
    const { sizeBytes } = found;
    const take = (count: number): Promise<Buffer> => this.#take(arriving, count);
    const header = await readIncrementalHeader(take, { path: arriving.path, sizeBytes, shape });
    const earlier = await base.find(Buffer.from(path, 'latin1'), this.#run);
    if (earlier === undefined) {
      throw new TidemarkError('REPOSITORY_DAMAGED', `the base before has no ${path}, of which it told the server`);
    }
    const earlierBytes = earlier.content?.sizeBytes ?? 0;
    const patch = reconstruct(header, earlierBytes, shape.blockBytes);
    const isSame = patch.extents.length === 0 && patch.keptBytes === earlierBytes && patch.sizeBytes === earlierBytes;
    const stored: StoredFile = { path, sizeBytes: patch.sizeBytes, isSame };
    if (arriving.tar.isAtEnd) this.#note(arriving, stored);
    const file = new ReadOnce(() => this.#fileReader(arriving, stored), onOpen);
    return patchedEntry(path, found, { ...patch, earlier: earlier.content, file });
  }

  async #label(arriving: Arriving): Promise<Entry> {
    const { path, found } = arriving;
    if (found.sizeBytes > MOST_LABEL_BYTES) throw unreachable(`the server sent a ${path} of ${found.sizeBytes} bytes`);
    this.#crc.reset();
    const label = (await this.#take(arriving, found.sizeBytes)).toString('latin1');
    const received = manifestCrc(this.#crc.digest());
    const bytes = Buffer.from(wholeLabel(label), 'latin1');
    this.#crc.reset();
    this.#crc.update(bytes);
    const crc = manifestCrc(this.#crc.digest());
    const stored = { path, sizeBytes: bytes.byteLength, crc };
    this.#sums.set(path, { sizeBytes: found.sizeBytes, crc: received, stored });
    return extraEntry({ name: path, bytes }, found);
  }

  /** So many of the file's next bytes. */
  async #take({ path, tar }: Arriving, sizeBytes: number): Promise<Buffer> {
    const bytes = Buffer.alloc(sizeBytes);
    for (let at = 0; at < sizeBytes; ) {
      const count = await tar.read(bytes.subarray(at));
      assume(count > 0, `${path} has as many bytes as its archive says`);
      at += count;
    }
    this.#crc.update(bytes);
    return bytes;
  }

  /** All of the file has come. */
  #note({ path, found: { sizeBytes } }: Arriving, stored?: StoredFile): void {
    if (this.#sums.has(path)) return;
    this.#sums.set(path, { sizeBytes, crc: manifestCrc(this.#crc.digest()), stored });
  }

  #fileReader(arriving: Arriving, stored?: StoredFile): ByteReader {
    const { tar } = arriving;
    return {
      read: async (into) => {
        const count = await this.#asking(() => tar.read(into, (bytes) => this.#crc.update(bytes)));
        if (tar.isAtEnd) this.#note(arriving, stored);
        return count;
      },
      async [Symbol.asyncDispose]() {},
    };
  }

  /** Of files that are as they were the sum is known, although they did not come. */
  async #recallSums({ base, manifest }: EarlierBackup): Promise<void> {
    for await (const { path, sizeBytes, algorithm, crc } of manifestFiles(base.read(manifest, this.#run))) {
      const came = changesPath(path);
      const received = this.#sums.get(came);
      if (received?.stored?.isSame !== true || algorithm !== 'CRC32C') continue;
      if (received.stored.sizeBytes === sizeBytes) {
        this.#sums.set(came, { ...received, stored: { ...received.stored, crc } });
      }
    }
  }

  async *#manifest(): AsyncGenerator<readonly Entry[]> {
    const { earlier } = this.#options;
    if (earlier !== undefined) await this.#asking(() => this.#recallSums(earlier));
    const check = new ManifestCheck(this.#sums);
    let isRead = false;
    let rest: Buffer = Buffer.alloc(0);
    let run = this.#run;
    const read = async (into: Uint8Array): Promise<number> => {
      while (rest.byteLength === 0 && !isRead) {
        const piece = await this.#asking(() => this.#stream.data(run));
        isRead = piece === undefined;
        if (piece === undefined) check.finish();
        else rest = check.update(piece);
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
    yield [manifestEntry(MANIFEST_NAME, content)];
    this.#assumeRead(isRead, MANIFEST_NAME);
  }

  #emptySum(): string {
    this.#crc.reset();
    return manifestCrc(this.#crc.digest());
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
