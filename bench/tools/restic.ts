import { join } from 'node:path';
import type { Command } from '../harness/measure.ts';
import type { Place, Tool } from './tool.ts';
import { versionPrintedBy } from './version.ts';

function restic(place: Place, args: readonly string[], cwd = place.home): Command {
  return {
    argv: ['restic', '--quiet', ...args],
    cwd,
    env: {
      HOME: place.home,
      RESTIC_REPOSITORY: join(place.home, 'repository'),
      RESTIC_PASSWORD: 'a passphrase for the bench',
      RESTIC_CACHE_DIR: join(place.home, 'cache'),
    },
  };
}

const restore = (place: Place, into: string): Command => restic(place, ['restore', 'latest', '--target', into]);

export const RESTIC: Tool = {
  name: 'restic',
  setUp: 'repository version 2, compression auto',
  version: () => versionPrintedBy('restic', 'version'),
  prepare: () => undefined,
  init: (place) => restic(place, ['init', '--repository-version', '2']),
  backup: (place) => restic(place, ['backup', '--host', 'bench', '.'], place.source),
  list: (place) => restic(place, ['snapshots']),
  restore: (place, _run, into) => restore(place, into),
  // This version can't replace a symbolic link: it says so, goes on and ends with 1.
  restoreOver: (place, _run, into) => ({ ...restore(place, into), expectedStatuses: [0, 1] }),
  restoredRoot: (into) => into,
  verify: (place) => restic(place, ['check', '--read-data']),
  repository: (place) => join(place.home, 'repository'),
};
