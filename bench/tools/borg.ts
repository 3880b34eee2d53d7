import { join } from 'node:path';
import type { Command } from '../harness/measure.ts';
import type { Place, Tool } from './tool.ts';
import { versionPrintedBy } from './version.ts';

function borg(place: Place, args: readonly string[], cwd = place.home): Command {
  return {
    argv: ['borg', ...args],
    cwd,
    env: {
      HOME: place.home,
      BORG_BASE_DIR: join(place.home, 'base'),
      BORG_REPO: join(place.home, 'repository'),
      BORG_PASSPHRASE: 'a passphrase for the bench',
    },
  };
}

const extract = (place: Place, run: number, into: string): Command => borg(place, ['extract', `::run-${run}`], into);

export const BORG: Tool = {
  name: 'borg',
  setUp: 'repokey-blake2, zstd,1',
  version: () => versionPrintedBy('borg', '--version'),
  prepare: () => undefined,
  init: (place) => borg(place, ['init', '-e', 'repokey-blake2']),
  backup: (place, run) => borg(place, ['create', '-C', 'zstd,1', `::run-${run}`, '.'], place.source),
  list: (place) => borg(place, ['list']),
  restore: extract,
  restoreOver: extract,
  restoredRoot: (into) => into,
  verify: (place) => borg(place, ['check', '--verify-data']),
  repository: (place) => join(place.home, 'repository'),
};
