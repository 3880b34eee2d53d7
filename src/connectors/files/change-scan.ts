import { constants } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { equalBytes } from '../../core/bytes.ts';
import type { Run } from '../../core/run.ts';
import { parentOf } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';
import { typeOf } from './describe.ts';
import { inodeIn, isTrusted, stateOf, typeIn } from './fingerprint.ts';
import type { TimeTrust } from './fingerprint.ts';
import type { FolderWatches } from './folder-watches.ts';
import { Hints } from './hints.ts';
import { KnownBelow } from './known-below.ts';
import { DOUBTFUL, LINKED } from './known-state.ts';
import type { Known, KnownState } from './known-state.ts';
import { CACHE_TAG, TreeScan } from './scan.ts';
import type { Kept, ScanItem, ScanOptions, ScanStep } from './scan.ts';

const BATCH = 512;

export type ChangeScanOptions = {
  readonly scan: Omit<ScanOptions, 'narrow'>;
  readonly state: KnownState;
  readonly watches: FolderWatches;
  trust(remote: boolean): TimeTrust;
  /** What was hinted at since the look before; with `all`, everything is looked at. */
  readonly hints: Hints;
  readonly all: boolean;
  /** Hints may have been lost since what is known was read. */
  readonly distrust: boolean;
};

/** What is to be kept in mind of something that is told. */
export function knownOf({ found: { status }, remote }: ScanItem, trust: (remote: boolean) => TimeTrust): Known {
  const isFolder = typeOf(status) === 'folder';
  const doubt = isTrusted(status, trust(remote)) ? 0 : DOUBTFUL;
  const linked = !isFolder && status.links > 1 ? LINKED : 0;
  return { state: stateOf(status), inode: isFolder ? null : BigInt.asIntN(64, status.inode), flags: doubt | linked };
}

function isFileState(state: Uint8Array): boolean {
  const type = typeIn(state);
  return type === constants.S_IFREG || type === constants.S_IFLNK;
}

function isBelow(name: ByteText, folder: ByteText): boolean {
  return name.length > folder.length && (folder === '' || name.startsWith(`${folder}\0`));
}

/**
 * Finds what is not as it is known, and stages it. Looks at names that were hinted at, and at the folders that lead there; at all that lies in a folder that was
 * not watched, which is watched from then on; and at the other names of files that have several.
 */
export class ChangeScan {
  readonly #options: ChangeScanOptions;
  #hints: Hints;
  #all: boolean;
  /** Of the folder that is walked wholly, by the steps that were taken; `whole` by those that the walk has made. */
  #known: KnownBelow | undefined;
  #whole: ByteText | undefined;
  /** Folders that were not watched before this look. */
  readonly #unwatched = new Set<ByteText>();
  readonly #linked = new Set<ByteText>();
  #waiting: ByteText[] = [];

  constructor(options: ChangeScanOptions) {
    this.#options = options;
    this.#hints = options.hints;
    this.#all = options.all;
  }

  /** @throws STORE_UNREACHABLE, POSITION_LOST */
  async look(run: Run): Promise<void> {
    const { state, watches } = this.#options;
    state.clearStaged();
    if (this.#all) watches.beginSweep();
    await this.#walk(run);
    if (this.#all) watches.endSweep();
    this.#all = false;
    while (this.#waiting.length > 0) {
      this.#hints = new Hints();
      for (const name of this.#waiting) this.#hints.add(name);
      this.#waiting = [];
      await this.#walk(run);
    }
  }

  /** What was staged will not be told: whoever looks next has to look at all of it again. Never throws. */
  undo(): void {
    const { watches } = this.#options;
    for (const folder of this.#unwatched) watches.forget(folder);
  }

  async #walk(run: Run): Promise<void> {
    const { scan: options, state } = this.#options;
    this.#whole = undefined;
    const scan = new TreeScan({ ...options, narrow: (folder, kept) => this.#narrow(folder, kept) });
    for (;;) {
      run.signal.throwIfAborted();
      let ended = false;
      state.batch(() => {
        const steps = scan.steps(BATCH);
        ended = steps === undefined;
        for (const step of steps ?? []) this.#take(step);
      });
      if (ended) return;
      await nextTurn();
    }
  }

  #narrow({ found: { name, path, status }, remote }: ScanItem, kept: Kept): readonly ByteText[] | undefined {
    const { state, watches, distrust, scan } = this.#options;
    const components = this.#hints.below(name);
    const inWhole = this.#whole !== undefined && isBelow(name, this.#whole);
    if (!inWhole && watches.isWatched(name) && !this.#all && !(scan.cacheDirTag && components.includes(CACHE_TAG))) {
      const known = state.find(name);
      const isSame = known === undefined ? kept === 'if-needed' : inodeIn(known.state) === status.inode;
      if (isSame) return components;
    }
    if (!watches.watch(name, path, remote) && !distrust) this.#unwatched.add(name);
    if (!inWhole) this.#whole = name;
    return undefined;
  }

  #take(step: ScanStep): void {
    const { state } = this.#options;
    if (step.kind === 'item') this.#compare(step);
    else if (step.kind === 'enter') {
      if (step.whole) this.#known ??= new KnownBelow(step.name, state, (known) => this.#gone(known.name, known.flags));
    } else if (step.kind === 'leave') this.#leave(step);
    else if (step.kind === 'unsure') this.#known?.pass(step.name);
    else if (this.#known === undefined) {
      this.#askLinked(step.name);
      // What is left out may be another name of what is not.
      const status = step.found?.status;
      if (status !== undefined && status.links > 1 && typeOf(status) !== 'folder') {
        this.#ask(state.namesOf(BigInt.asIntN(64, status.inode)));
      }
      state.stageTreeGone(step.name);
    }
  }

  #compare(item: ScanItem): void {
    const { state, trust } = this.#options;
    const { name, status, mount } = item.found;
    const known = this.#isInside(name) ? this.#known?.take(name) : state.find(name);
    const now = knownOf(item, trust);
    if (known !== undefined && equalBytes(known.state, now.state)) {
      if ((known.flags & DOUBTFUL) === 0) return;
      if (this.#isCertain(name)) {
        if (this.#all) state.settle(name);
        return;
      }
    }
    state.stage({ name, mount, remote: item.remote }, now);
    if (known !== undefined && !this.#isInside(name) && now.inode !== null && !isFileState(known.state)) {
      // It may have been a folder.
      this.#askLinked(name);
      state.stageGoneBelow(name);
    } else if (known !== undefined && (known.flags & LINKED) !== 0) this.#askLinked(name);
    if (now.inode !== null && status.links > 1) this.#ask(state.namesOf(now.inode));
  }

  /** Below a folder that is walked wholly. */
  #isInside(name: ByteText): boolean {
    return this.#known !== undefined && isBelow(name, this.#known.folder);
  }

  /** Nothing has happened to it, by the word of the queue. */
  #isCertain(name: ByteText): boolean {
    const { distrust, watches, hints } = this.#options;
    if (distrust || !watches.exact || hints.has(name) || this.#hints.has(name)) return false;
    return !this.#unwatched.has(parentOf(name));
  }

  #leave(step: ScanStep & { readonly kind: 'leave' }): void {
    const { state } = this.#options;
    const { name } = step.found;
    if (this.#known?.folder === name) {
      this.#known.finish();
      this.#known = undefined;
    }
    // Inside a folder that is walked wholly, what was not told is gone.
    if (this.#known !== undefined || step.kept === 'always' || step.told) return;
    if (state.find(name) === undefined) return;
    if (state.holdsAny(name)) this.#compare(step);
    else state.stageGone(name);
  }

  #gone(name: ByteText, flags: number): void {
    if ((flags & LINKED) !== 0) this.#askLinked(name);
    this.#options.state.stageGone(name);
  }

  #askLinked(name: ByteText): void {
    if (!this.#all) this.#ask(this.#options.state.linkedWith(name));
  }

  /** Other names of a file are looked at as well, once. */
  #ask(names: readonly ByteText[]): void {
    if (this.#all) return;
    for (const name of names) {
      if (this.#linked.has(name) || this.#options.state.isStaged(name)) continue;
      this.#linked.add(name);
      this.#waiting.push(name);
    }
  }
}
