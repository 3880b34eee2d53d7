import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { systemCode } from '../../core/errors.ts';
import {
  IN_CREATE,
  IN_DELETE,
  IN_IGNORED,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  IN_Q_OVERFLOW,
  IN_UNMOUNT,
  Inotify,
} from '../../io/native-inotify.ts';
import type { InotifyEvent } from '../../io/native-inotify.ts';
import { byteText, bytesOf } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';

/** What may have happened in a watched folder. `component`: to what in it; '' to the folder itself. `named`: a name came, went, or is another thing now. */
export type FolderEvent = {
  readonly watch: number;
  readonly component: ByteText;
  readonly named: boolean;
};

export type WatchEvents = {
  onEvent(event: FolderEvent): void;
  /** Nothing comes from this watch any more. */
  onEnd(watch: number): void;
  /** Events were lost. */
  onLost(): void;
  /** After all events that were there. */
  onTurn(): void;
};

/** Watches folders, each for itself. */
export interface FolderWatcher extends Disposable {
  /** Every change of what lies in a watched folder is told, in order, and `drain` hands on all that happened before it. */
  readonly exact: boolean;
  /** Undefined when the system allows no more. @throws Node's file system errors */
  add(path: ByteText): number | undefined;
  remove(watch: number): void;
  drain(): void;
}

const NAMED = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;

/** By the kernel's own queue. @throws SystemError EMFILE when this user has too many; UNSUPPORTED elsewhere than on Linux */
export function openKernelWatcher(events: WatchEvents): FolderWatcher {
  const take = ({ watch: number, mask, name }: InotifyEvent): void => {
    if ((mask & (IN_Q_OVERFLOW | IN_UNMOUNT)) !== 0) events.onLost();
    else if ((mask & IN_IGNORED) !== 0) events.onEnd(number);
    else events.onEvent({ watch: number, component: name, named: (mask & NAMED) !== 0 });
  };
  const queue = new Inotify(take, () => events.onTurn());
  return {
    exact: true,
    add: (path) => queue.add(bytesOf(path)),
    remove: (number) => queue.remove(number),
    drain: () => queue.drain(),
    [Symbol.dispose]: () => queue[Symbol.dispose](),
  };
}

/** By `fs.watch`, which hides lost events and tells in its own time. */
export function openPortableWatcher(events: WatchEvents): FolderWatcher {
  const watchers = new Map<number, FSWatcher>();
  let last = 0;
  const remove = (number: number): void => {
    watchers.get(number)?.close();
    watchers.delete(number);
  };
  return {
    exact: false,
    add(path) {
      const number = ++last;
      try {
        const watcher = watch(bytesOf(path), { persistent: false, encoding: 'buffer' }, (type, name) => {
          const component = name === null ? '' : byteText(name);
          events.onEvent({ watch: number, component, named: type === 'rename' });
          events.onTurn();
        });
        watchers.set(number, watcher);
        watcher.on('error', () => {
          remove(number);
          events.onEnd(number);
        });
        return number;
      } catch (error) {
        const code = systemCode(error);
        if (code === 'ENOSPC' || code === 'EMFILE' || code === 'ENFILE') return undefined;
        throw error;
      }
    },
    remove,
    drain() {},
    [Symbol.dispose]() {
      for (const number of watchers.keys()) remove(number);
    },
  };
}

/** Watches nothing: where there is no queue to be had. */
export function noWatcher(): FolderWatcher {
  return { exact: true, add: () => undefined, remove() {}, drain() {}, [Symbol.dispose]() {} };
}
