import { libc, nativeAvailable } from './native.ts';

const M_TRIM_THRESHOLD = -1;
const M_MMAP_THRESHOLD = -3;
const MIB = 1024 * 1024;
const REUSED_BYTES = 32 * MIB;
const KEPT_BYTES = 128 * MIB;

/**
 * Lets this process keep memory that it frees, for all its threads. For work that takes and gives back blocks of a MiB all the time: else the
 * system is asked for each, and clears it page by page. Does nothing where the C library can't (mallopt(3)).
 */
export function keepFreedMemory(): void {
  if (!nativeAvailable()) return;
  const { mallopt } = libc();
  mallopt?.(M_MMAP_THRESHOLD, REUSED_BYTES);
  mallopt?.(M_TRIM_THRESHOLD, KEPT_BYTES);
}

/**
 * Gives the system back what this process has freed and kept. For one that runs on after work that took much: the C library keeps what lies between blocks that are still
 * used. Does nothing where it can't (malloc_trim(3)).
 */
export function giveBackFreedMemory(): void {
  if (nativeAvailable()) libc().malloc_trim?.(0);
}
