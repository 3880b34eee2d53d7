import { closeSync, mkdirSync, openSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from '../../core/run.ts';
import { systemCode } from '../../core/errors.ts';
import { nativeAvailable } from '../../io/native.ts';
import { byteTextOf, childOf, parentOf } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';
import { isGone, reasonOf } from './errors.ts';
import { noWatcher, openKernelWatcher, openPortableWatcher } from './folder-watcher.ts';
import type { FolderEvent, FolderWatcher, WatchEvents } from './folder-watcher.ts';

export const WATCH_LIMIT_HINT = 'Raise fs.inotify.max_user_watches and fs.inotify.max_user_instances with sysctl.';

export type WatchOptions = {
  /** A folder of ours, for the marker that goes through the queue. */
  readonly markerFolder: string;
  readonly logger: Logger;
  /** Something may have happened to this name. */
  onHint(name: ByteText): void;
  /** Anything may have happened. */
  onLost(): void;
  onTurn(): void;
  /** Else the best that there is here. @throws SystemError where the system allows none */
  readonly openWatcher?: ((events: WatchEvents) => FolderWatcher) | undefined;
};

type Node = {
  readonly name: ByteText;
  readonly parent: Node | undefined;
  readonly inside: Set<Node>;
  watch: number | undefined;
  sweep: number;
};

/**
 * Which folders of a store are watched, by the names they have now. A folder that comes, goes or is renamed is not watched any more, nor what lies in it, so that
 * whoever looks at it next looks at all of it.
 */
export class FolderWatches implements Disposable {
  readonly #options: WatchOptions;
  readonly #watcher: FolderWatcher;
  readonly #nodes = new Map<ByteText, Node>();
  readonly #byWatch = new Map<number, Node>();
  #unwatched = new Set<ByteText>();
  #sweep = 0;
  #marker: number | undefined;
  #markersSeen = 0;
  #warned = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    mkdirSync(options.markerFolder, { recursive: true, mode: 0o700 });
    this.#watcher = this.#open({
      onEvent: (event) => this.#take(event),
      onEnd: (watch) => this.#ended(watch),
      onLost: () => options.onLost(),
      onTurn: () => options.onTurn(),
    });
    try {
      if (this.#watcher.exact) this.#marker = this.#watcher.add(byteTextOf(options.markerFolder));
    } catch (error) {
      this.#watcher[Symbol.dispose]();
      throw error;
    }
  }

  /** What happens in watched folders is told without exception. */
  get exact(): boolean {
    return this.#watcher.exact;
  }

  /** Folders for which there was no watch, without those that lie in another one: who looks at one of them looks at all it holds. */
  get unwatched(): ReadonlySet<ByteText> {
    return this.#unwatched;
  }

  isWatched(name: ByteText): boolean {
    return this.#nodes.get(name)?.watch !== undefined;
  }

  /**
   * To be called before the folder is listed. `remote`: another machine may change what lies in it, and no kernel here would know. True when this very folder
   * was watched before.
   */
  watch(name: ByteText, path: ByteText, remote: boolean): boolean {
    const watch = remote ? undefined : this.#add(path);
    if (watch === 'gone') return false;
    if (watch === undefined) {
      if (!remote) this.#warn();
      if (!this.#isBelowUnwatched(name)) this.#unwatched.add(name);
      this.forget(name);
      return false;
    }
    this.#unwatched.delete(name);
    const node = this.#nodeOf(name);
    const isSame = node.watch === watch;
    if (!isSame) this.#release(node);
    node.watch = watch;
    node.sweep = this.#sweep;
    // A folder that was renamed keeps its watch: from now on it goes by this name.
    const before = this.#byWatch.get(watch);
    if (before !== undefined && before !== node) before.watch = undefined;
    this.#byWatch.set(watch, node);
    return isSame;
  }

  /** Every folder that there is will be watched anew. */
  beginSweep(): void {
    this.#sweep++;
    this.#unwatched = new Set();
  }

  /** Folders that were not watched anew are not there any more. */
  endSweep(): void {
    for (const node of this.#nodes.values()) {
      if (node.sweep < this.#sweep && node.watch !== undefined) this.#release(node);
    }
    for (const node of this.#nodes.values()) this.#prune(node);
  }

  /** All that happened before the call has been hinted at when it returns; false when that can't be proven. */
  barrier(): boolean {
    if (!this.#watcher.exact) return true;
    const { markerFolder } = this.#options;
    this.#marker ??= this.#watcher.add(byteTextOf(markerFolder));
    if (this.#marker === undefined) return this.#byWatch.size === 0;
    const seen = this.#markersSeen;
    const marker = join(markerFolder, 'marker');
    closeSync(openSync(marker, 'w', 0o600));
    unlinkSync(marker);
    this.#watcher.drain();
    return this.#markersSeen > seen;
  }

  /** Ends to watch the folder, and those in it. */
  forget(name: ByteText): void {
    const top = this.#nodes.get(name);
    if (top === undefined) return;
    top.parent?.inside.delete(top);
    for (const waiting = [top]; waiting.length > 0; ) {
      const node = waiting.pop();
      if (node === undefined) break;
      this.#release(node);
      this.#nodes.delete(node.name);
      waiting.push(...node.inside);
    }
  }

  [Symbol.dispose](): void {
    this.#watcher[Symbol.dispose]();
  }

  #open(events: WatchEvents): FolderWatcher {
    const { openWatcher = nativeAvailable() ? openKernelWatcher : openPortableWatcher } = this.#options;
    try {
      return openWatcher(events);
    } catch (error) {
      this.#warn(error);
      return noWatcher();
    }
  }

  #add(path: ByteText): number | 'gone' | undefined {
    try {
      return this.#watcher.add(path);
    } catch (error) {
      // Who may not read it can't list it either, and its parent tells when that changes.
      if (isGone(error) || systemCode(error) === 'EACCES' || systemCode(error) === 'EPERM') return 'gone';
      throw error;
    }
  }

  #isBelowUnwatched(name: ByteText): boolean {
    for (let below = name; below !== ''; ) {
      below = parentOf(below);
      if (this.#unwatched.has(below)) return true;
    }
    return false;
  }

  #warn(cause?: unknown): void {
    if (this.#warned) return;
    this.#warned = true;
    this.#options.logger.log('warn', 'the system allows no more watches: the rest of the folder is scanned instead', {
      hint: WATCH_LIMIT_HINT,
      ...(cause === undefined ? {} : { reason: reasonOf(cause) }),
    });
  }

  #take({ watch, component, named }: FolderEvent): void {
    if (watch === this.#marker) {
      if (named && component !== '') this.#markersSeen++;
      return;
    }
    const node = this.#byWatch.get(watch);
    if (node === undefined) return;
    const { onHint } = this.#options;
    if (component === '') {
      onHint(node.name);
      return;
    }
    const name = childOf(node.name, component);
    if (named) {
      this.forget(name);
      onHint(node.name);
    }
    onHint(name);
  }

  #ended(watch: number): void {
    if (watch === this.#marker) this.#marker = undefined;
    const node = this.#byWatch.get(watch);
    if (node === undefined) return;
    this.#byWatch.delete(watch);
    node.watch = undefined;
    this.#options.onHint(node.name);
  }

  #nodeOf(name: ByteText): Node {
    const known = this.#nodes.get(name);
    if (known !== undefined) return known;
    const parent = name === '' ? undefined : this.#nodeOf(parentOf(name));
    const node: Node = { name, parent, inside: new Set(), watch: undefined, sweep: this.#sweep };
    parent?.inside.add(node);
    this.#nodes.set(name, node);
    return node;
  }

  #release(node: Node): void {
    const { watch } = node;
    node.watch = undefined;
    if (watch === undefined || this.#byWatch.get(watch) !== node) return;
    this.#byWatch.delete(watch);
    this.#watcher.remove(watch);
  }

  #prune(node: Node): void {
    if (node.watch !== undefined || node.inside.size > 0) return;
    this.#nodes.delete(node.name);
    node.parent?.inside.delete(node);
  }
}
