import { closeSync } from 'node:fs';
import {
  checked,
  createStringPlace,
  EINTR,
  ENOMEM,
  ENOSPC,
  EWOULDBLOCK,
  lastErrno,
  libc,
  systemError,
  whenReadable,
} from './native.ts';

/** Bits of `InotifyEvent.mask`: inotify(7). */
export const IN_MODIFY = 0x2;
const IN_ATTRIB = 0x4;
const IN_CLOSE_WRITE = 0x8;
export const IN_MOVED_FROM = 0x40;
export const IN_MOVED_TO = 0x80;
export const IN_CREATE = 0x100;
export const IN_DELETE = 0x200;
const IN_DELETE_SELF = 0x400;
const IN_MOVE_SELF = 0x800;
/** The file system was unmounted. */
export const IN_UNMOUNT = 0x2000;
/** The kernel's queue was full: what came after was dropped. Its `watch` is -1. */
export const IN_Q_OVERFLOW = 0x4000;
/** The watch is gone, and its number comes no more. */
export const IN_IGNORED = 0x8000;
/** What it is about is a folder. */
export const IN_ISDIR = 0x4000_0000;

const IN_ONLYDIR = 0x0100_0000;
const IN_DONT_FOLLOW = 0x0200_0000;
const IN_EXCL_UNLINK = 0x0400_0000;
const IN_NONBLOCK = 0o4000;
const IN_CLOEXEC = 0o2000000;

/** Everything that changes a folder, what lies in it, or its attributes. */
const CHANGES =
  IN_MODIFY |
  IN_ATTRIB |
  IN_CLOSE_WRITE |
  IN_MOVED_FROM |
  IN_MOVED_TO |
  IN_CREATE |
  IN_DELETE |
  IN_DELETE_SELF |
  IN_MOVE_SELF |
  IN_ONLYDIR |
  IN_DONT_FOLLOW |
  IN_EXCL_UNLINK;

/** `name`: of what lies in the watched folder, a character for each byte; empty when it is about the folder itself. `cookie`: equal for both ends of a rename. */
export type InotifyEvent = {
  readonly watch: number;
  readonly mask: number;
  readonly cookie: number;
  readonly name: string;
};

const HEAD_BYTES = 16;
const QUEUE_BYTES = 1 << 18;

/**
 * A queue of the kernel in which it notes what happens in folders, in order. An event is in the queue when the call that caused it returns. Costs
 * nothing while nothing happens, and does not keep the process running.
 */
export class Inotify implements Disposable {
  readonly #file: number;
  readonly #poll: { close(): void };
  readonly #onEvent: (event: InotifyEvent) => void;
  readonly #place = createStringPlace();
  readonly #piece = Buffer.allocUnsafe(QUEUE_BYTES);
  #closed = false;

  /**
   * `onEvent` is called from `drain`, and from the event loop: `onTurn` after all that was there. @throws SystemError EMFILE when this user has too
   * many queues; UNSUPPORTED
   */
  constructor(onEvent: (event: InotifyEvent) => void, onTurn: () => void) {
    this.#onEvent = onEvent;
    this.#file = checked(libc().inotify_init1(IN_NONBLOCK | IN_CLOEXEC), { syscall: 'inotify_init1' });
    try {
      this.#poll = whenReadable(this.#file, () => {
        if (this.#closed) return;
        this.drain();
        onTurn();
      });
    } catch (error) {
      closeSync(this.#file);
      throw error;
    }
  }

  /**
   * Watches a folder, not what lies deeper. A folder that is watched already gives the same number again, under whatever path. Undefined when the
   * system allows no more watches. @throws SystemError
   */
  add(path: Uint8Array): number | undefined {
    const facts = { syscall: 'inotify_add_watch', path };
    const watch = libc().inotify_add_watch(this.#file, this.#place.put(path, facts), CHANGES);
    if (watch >= 0) return watch;
    const errno = lastErrno();
    if (errno === ENOSPC || errno === ENOMEM) return undefined;
    throw systemError(errno, facts);
  }

  /** Of a watch that is gone already nothing happens. Events that are in the queue still come. */
  remove(watch: number): void {
    libc().inotify_rm_watch(this.#file, watch);
  }

  /** Hands on all events of what happened before the call. @throws SystemError */
  drain(): void {
    for (;;) {
      const count = libc().read(this.#file, this.#piece, QUEUE_BYTES);
      if (count > 0) {
        this.#parse(count);
        continue;
      }
      const errno = count === 0 ? EWOULDBLOCK : lastErrno();
      if (errno === EWOULDBLOCK) return;
      if (errno !== EINTR) throw systemError(errno, { syscall: 'read' });
    }
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#poll.close();
    } finally {
      closeSync(this.#file);
    }
  }

  /** `struct inotify_event`: watch, mask, cookie, length of the name with its padding of zeros. */
  #parse(sizeBytes: number): void {
    const piece = this.#piece;
    for (let at = 0; at < sizeBytes; ) {
      const length = piece.readUInt32LE(at + 12);
      const start = at + HEAD_BYTES;
      const zero = piece.indexOf(0, start);
      const end = length === 0 ? start : Math.min(start + length, zero < 0 ? sizeBytes : zero);
      this.#onEvent({
        watch: piece.readInt32LE(at),
        mask: piece.readUInt32LE(at + 4),
        cookie: piece.readUInt32LE(at + 8),
        name: piece.toString('latin1', start, end),
      });
      at = start + length;
    }
  }
}
