import { lstatSync, realpathSync, statSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { toHex } from '../../core/bytes.ts';
import type { RecorderContext } from '../../core/connector.ts';
import { systemCode, TidemarkError } from '../../core/errors.ts';
import { assume } from '../../core/must.ts';
import { orderOf } from '../../core/position.ts';
import type { Lineage, Position } from '../../core/position.ts';
import type { Base, BaseEnd, Description, Entry, Recorder } from '../../core/recorder.ts';
import type { Clock, Run } from '../../core/run.ts';
import { byteText, byteTextOf, bytesOf, systemPath } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';
import { bytesToRead, describe, typeOf } from './describe.ts';
import type { Found } from './describe.ts';
import { isGone, reasonOf, storeUnreachable } from './errors.ts';
import { fingerprintOf } from './fingerprint.ts';
import type { TimeTrust } from './fingerprint.ts';
import { compileSelection } from './patterns.ts';
import { TreeScan } from './scan.ts';
import { SkippedList } from './skipped.ts';
import type { FilesStore } from './store.ts';

/** Entries between two turns of the event loop: about two milliseconds of work. */
const BATCH = 512;

/** How often a file that changes is read before it is taken as it is. */
const ATTEMPTS = 3;

const LINEAGE_BYTES = 16;
/** Tells apart two scans of one number, when two processes scan at once. */
const SCAN_ID_BYTES = 8;

/**
 * Records a folder: every base is a scan. Positions count the scans; the lineage is the one of `previous`, or a new random one. What is in a
 * base was there, as it is described, at some time between the start and the end of the scan.
 * @throws STORE_UNREACHABLE when the folder is missing, unreadable or no folder.
 */
export function openFilesRecorder(store: FilesStore, { runtime, previous }: RecorderContext): Recorder {
  resolveRoot(store.folder);
  const lineage: Lineage = { id: previous?.lineage ?? toHex(runtime.random(LINEAGE_BYTES)) };
  let scans = previous === undefined ? 0n : BigInt(previous.order);
  return {
    lineage,
    exact: 'observation',
    async openBase(run) {
      run.signal.throwIfAborted();
      scans += 1n;
      return new TreeBase(
        store,
        { lineage: lineage.id, order: orderOf(scans), resume: toHex(runtime.random(SCAN_ID_BYTES)) },
        runtime.clock,
      );
    },
    async [Symbol.asyncDispose]() {},
  };
}

class TreeBase implements Base {
  readonly entries: AsyncIterable<readonly Entry[]>;
  readonly #position: Position;
  readonly #scan: TreeScan;
  readonly #scanStartNs: bigint;
  readonly #skipped = new SkippedList();
  #drained = false;

  constructor(store: FilesStore, position: Position, clock: Clock) {
    this.#position = position;
    this.#scanStartNs = BigInt(Math.floor(clock.nowMs())) * 1_000_000n;
    this.#scan = new TreeScan({
      root: resolveRoot(store.folder),
      selection: compileSelection(store),
      oneFileSystem: store.oneFileSystem,
      cacheDirTag: store.cacheDirTag,
      excluded: identitiesOf(store.excludeFolders),
      skipped: this.#skipped,
    });
    this.entries = this.#batches();
  }

  async retry(entry: Entry, cause: unknown, run: Run): Promise<Entry | undefined> {
    run.signal.throwIfAborted();
    assume(entry instanceof TreeEntry, 'an entry of this base');
    const { name } = entry.found;
    if (systemCode(cause) !== undefined && !isGone(cause)) {
      this.#skipped.add(name, 'unreadable', reasonOf(cause));
      return undefined;
    }
    const found = this.#lookAgain(entry.found);
    if (found === undefined) return undefined;
    if (entry.tolerant) {
      // It was there each time and could not be read even as it is.
      this.#skipped.add(name, 'unreadable', reasonOf(cause));
      return undefined;
    }
    const tolerant = entry.attempt >= ATTEMPTS;
    if (tolerant) {
      this.#skipped.add(name, 'changed', `it changed while it was read, ${ATTEMPTS} times: kept as it was read last`);
    }
    return this.#entry(found, { remote: entry.remote, attempt: entry.attempt + 1, tolerant });
  }

  async finish(run: Run): Promise<BaseEnd> {
    run.signal.throwIfAborted();
    assume(this.#drained, 'all entries were pulled');
    const { count, incompleteCount } = this.#skipped;
    return {
      logFrom: this.#position,
      cut: this.#position,
      skipped: this.#skipped.list(),
      skippedCount: count,
      incompleteCount,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async *#batches(): AsyncGenerator<readonly Entry[]> {
    for (let items = this.#scan.next(BATCH); items !== undefined; items = this.#scan.next(BATCH)) {
      if (items.length > 0) {
        yield items.map(({ found, remote }) => this.#entry(found, { remote, attempt: 1, tolerant: false }));
      }
      await nextTurn();
    }
    this.#drained = true;
  }

  #entry(found: Found, reading: Reading): TreeEntry {
    const trust: TimeTrust = { scanStartNs: this.#scanStartNs, remote: reading.remote };
    const unreadable = (cause: unknown): void => {
      const message = `kept without its extended attributes, which can’t be read: ${reasonOf(cause)}`;
      this.#skipped.add(found.name, isGone(cause) ? 'vanished' : 'unreadable', message);
    };
    return new TreeEntry(found, {
      ...reading,
      fingerprint: reading.tolerant ? undefined : fingerprintOf(found.stats, trust),
      unreadable,
    });
  }

  /** The file as it is now, or undefined when that was reported. */
  #lookAgain(found: Found): Found | undefined {
    const { name, path } = found;
    try {
      if (!leadsThroughFolders(found)) {
        this.#skipped.add(name, 'changed', 'a folder above it was replaced during the scan, so it is left out');
        return undefined;
      }
      const stats = lstatSync(systemPath(path), { bigint: true });
      const type = typeOf(stats);
      if (type === 'file' || type === 'link') return { ...found, stats };
      this.#skipped.add(
        name,
        'changed',
        `it became a ${type === 'folder' ? 'folder' : 'socket, fifo or device'} during the scan, so it is left out`,
      );
    } catch (error) {
      if (isGone(error)) this.#skipped.add(name, 'vanished', 'it vanished before it was read');
      else this.#skipped.add(name, 'unreadable', reasonOf(error));
    }
    return undefined;
  }
}

type Reading = { readonly remote: boolean; readonly attempt: number; readonly tolerant: boolean };

type EntryFacts = Reading & {
  readonly fingerprint: Uint8Array | undefined;
  readonly unreadable: (cause: unknown) => void;
};

class TreeEntry implements Entry {
  readonly name: Uint8Array;
  readonly fingerprint: Uint8Array | undefined;
  readonly estimatedBytes: number;
  readonly found: Found;
  readonly remote: boolean;
  readonly attempt: number;
  readonly tolerant: boolean;
  readonly #unreadable: (cause: unknown) => void;

  constructor(found: Found, facts: EntryFacts) {
    this.name = bytesOf(found.name);
    this.fingerprint = facts.fingerprint;
    this.estimatedBytes = bytesToRead(found.stats);
    this.found = found;
    this.remote = facts.remote;
    this.attempt = facts.attempt;
    this.tolerant = facts.tolerant;
    this.#unreadable = facts.unreadable;
  }

  describe(): Description {
    return describe(this.found, this.tolerant, this.#unreadable);
  }
}

/** False when a component between root and file is no folder any more: a link planted there would lead elsewhere. */
function leadsThroughFolders({ name, path }: Found): boolean {
  const rootLength = path.length - name.length;
  for (let at = name.indexOf('\0'); at >= 0; at = name.indexOf('\0', at + 1)) {
    if (!lstatSync(systemPath(path.slice(0, rootLength + at))).isDirectory()) return false;
  }
  return true;
}

/** The folder itself, with all links on the way resolved. @throws STORE_UNREACHABLE */
export function resolveRoot(folder: string): ByteText {
  const path = byteTextOf(folder);
  try {
    const root = byteText(realpathSync.native(systemPath(path), 'buffer'));
    if (!statSync(systemPath(root)).isDirectory()) {
      throw new TidemarkError('STORE_UNREACHABLE', `${folder} is not a folder`);
    }
    return root;
  } catch (error) {
    throw error instanceof TidemarkError ? error : storeUnreachable(path, error);
  }
}

/** Those that are absent hold nothing to leave out. */
function identitiesOf(folders: readonly string[]): ReadonlySet<string> {
  const identities = new Set<string>();
  for (const folder of folders) {
    const stats = statSync(folder, { bigint: true, throwIfNoEntry: false });
    if (stats !== undefined) identities.add(`${stats.dev}:${stats.ino}`);
  }
  return identities;
}
