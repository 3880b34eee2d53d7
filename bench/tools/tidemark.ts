import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { filesBelow } from '../data/walk.ts';
import type { Command } from '../harness/measure.ts';
import type { Place, Tool } from './tool.ts';
import { versionPrintedBy } from './version.ts';

/** The compiled command line, as the package has it. */
export const COMPILED_ENTRY = join(import.meta.dirname, '../../dist/cli/main.js');
const SOURCES = join(import.meta.dirname, '../../src');

function tidemark(place: Place, args: readonly string[], cwd = place.home): Command {
  return {
    argv: [process.execPath, COMPILED_ENTRY, '-f', join(place.home, 'tidemark.yaml'), '--quiet', ...args],
    cwd,
    env: {
      HOME: place.home,
      XDG_STATE_HOME: join(place.home, 'state'),
      TIDEMARK_PASSPHRASE: 'a passphrase for the bench',
      // As the program of the package does.
      NODE_COMPILE_CACHE: join(place.home, '.cache/tidemark/compiled'),
    },
  };
}

function isOutdated(): boolean {
  const builtAtMs = statSync(COMPILED_ENTRY).mtimeMs;
  return filesBelow(SOURCES).some(({ path, stats }) => !path.endsWith('.test.ts') && stats.mtimeMs > builtAtMs);
}

function manifestOf(place: Place): string {
  return [
    'application: bench',
    'repository: ./repository',
    'stores:',
    `  data: ${JSON.stringify(`files:${place.source}`)}`,
    '',
  ].join('\n');
}

const restore = (place: Place, _run: number, into: string): Command =>
  tidemark(place, ['restore', '--to', 'latest', '--into', into, '--yes']);

export const TIDEMARK: Tool = {
  name: 'tidemark',
  setUp: 'as it comes, compiled package',
  version: () => {
    const version = existsSync(COMPILED_ENTRY)
      ? versionPrintedBy(process.execPath, COMPILED_ENTRY, 'version')
      : undefined;
    return version !== undefined && isOutdated() ? `${version}, built before the sources last changed` : version;
  },
  prepare: (place) => writeFileSync(join(place.home, 'tidemark.yaml'), manifestOf(place)),
  init: (place) => tidemark(place, ['init']),
  backup: (place) => tidemark(place, ['backup']),
  list: (place) => tidemark(place, ['marks']),
  restore,
  restoreOver: restore,
  restoredRoot: (into) => join(into, 'data'),
  verify: (place) => tidemark(place, ['verify', '--data']),
  repository: (place) => join(place.home, 'repository'),
};
