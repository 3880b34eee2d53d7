import { readdirSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { must } from '../core/must.ts';
import { lastErrno, libc, systemError } from './native.ts';

const IOPRIO_SET: Readonly<Record<string, number>> = { x64: 251, arm64: 30 };
const IOPRIO_WHO_PROCESS = 1;
const IOPRIO_CLASS_BEST_EFFORT = 2;
const IOPRIO_CLASS_SHIFT = 13;
const LOWEST_OF_CLASS = 7;

/**
 * Lets other work of the machine go first: the lowest claim on processor and disk, for every thread that this process has and
 * will start. There is no way back without privileges. @throws SystemError, UNSUPPORTED without native calls
 */
export function yieldToOthers(): void {
  for (const name of readdirSync('/proc/self/task')) {
    const thread = Number(name);
    if (lowerDiskPriority(thread)) setPriority(thread, constants.priority.PRIORITY_LOW);
  }
}

/** False when the thread has ended meanwhile. */
function lowerDiskPriority(thread: number): boolean {
  const call = must(IOPRIO_SET[process.arch], 'a processor that has native calls');
  const lowest = (IOPRIO_CLASS_BEST_EFFORT << IOPRIO_CLASS_SHIFT) | LOWEST_OF_CLASS;
  if (libc().syscall(call, IOPRIO_WHO_PROCESS, thread, lowest) >= 0) return true;
  const errno = lastErrno();
  if (errno === constants.errno.ESRCH) return false;
  throw systemError(errno, { syscall: 'ioprio_set' });
}
