/**
 * All unit tests as one test file, for the coverage run. Every module is loaded, so that one
 * without tests counts as uncovered instead of being left out.
 */
import { globSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const STARTS_BY_LOADING = /(?:^src\/cli\/main|worker)\.ts$/;

for (const file of globSync('src/**/*.ts', { cwd: root }).sort()) {
  if (!STARTS_BY_LOADING.test(file)) await import(join(root, file));
}
