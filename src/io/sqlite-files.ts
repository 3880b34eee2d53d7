import { rmSync } from 'node:fs';

/** What SQLite keeps beside a database under its name: https://sqlite.org/tempfiles.html */
export const COMPANION_SUFFIXES = ['-wal', '-shm', '-journal'] as const;

/** With what SQLite keeps beside it. */
export function removeDatabase(path: string): void {
  for (const suffix of ['', ...COMPANION_SUFFIXES]) rmSync(`${path}${suffix}`, { force: true });
}
