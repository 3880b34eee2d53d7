import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from '../harness/measure.ts';
import type { Place, Tool } from './tool.ts';
import { firstLineOf } from './version.ts';

/** The compiled command line, as the package has it. */
export const COMPILED_ENTRY = join(import.meta.dirname, '../../dist/cli/main.js');

function tidemark(place: Place, args: readonly string[], cwd = place.home): Command {
  return {
    argv: [process.execPath, COMPILED_ENTRY, '-f', join(place.home, 'tidemark.yaml'), '--quiet', ...args],
    cwd,
    env: {
      HOME: place.home,
      XDG_STATE_HOME: join(place.home, 'state'),
      TIDEMARK_PASSPHRASE: 'a passphrase for the bench',
    },
  };
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
  version: () => (existsSync(COMPILED_ENTRY) ? firstLineOf(process.execPath, COMPILED_ENTRY, 'version') : undefined),
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
