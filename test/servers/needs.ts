import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Where Debian puts what it leaves out of an ordinary user's path. */
const MORE_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/lib/postgresql/15/bin'];

/** Where a program lies, or undefined. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...MORE_FOLDERS];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/**
 * What a test that needs these programs is given as its options: it is skipped where one is missing.
 * @throws Error instead of skipping where CI is true
 */
export function needs(...programs: readonly string[]): { readonly skip: string | false } {
  // What ends them, and much of what is tested, knows Linux.
  if (process.platform !== 'linux') return { skip: 'needs Linux' };
  const missing = programs.filter((name) => findProgram(name) === undefined);
  if (missing.length === 0) return { skip: false };
  const message = `not installed: ${missing.join(', ')}`;
  if (process.env['CI'] === 'true') throw new Error(message);
  return { skip: message };
}
