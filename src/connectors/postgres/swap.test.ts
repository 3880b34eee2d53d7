import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { test } from 'node:test';
import { createSeededRandom } from '../../flow/random.ts';
import { createSystemClock } from '../../flow/clock.ts';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { folderIfGivenUp, giveFolderUp } from './give-up.ts';
import { markVerified, readJournal, swapIn } from './swap.ts';
import { findTarget } from './target-place.ts';

const run = { signal: new AbortController().signal };

test('a data directory is verified once its tablespaces are on the disk too, wherever they are', async () => {
  await using folder = temporaryFolder();
  const random = createSeededRandom(1);
  const place = findTarget(folder.at('data'), 'r1');
  mkdirSync(`${place.fresh}/pg_tblspc`, { recursive: true });
  symlinkSync(folder.at('elsewhere'), `${place.fresh}/pg_tblspc/16384`);
  const mark = async (): Promise<void> => await markVerified(place, (sizeBytes) => random.bytes(sizeBytes), run);
  await assert.rejects(mark(), /ENOENT/);
  assert.equal(readJournal(place), undefined);
  mkdirSync(folder.at('elsewhere'));
  await mark();
  assert.equal(readJournal(place)?.state, 'verified');
});

test('a data directory whose new one is gone stays as it is, and its restore can be given up', async () => {
  await using folder = temporaryFolder();
  const random = createSeededRandom(1).bytes;
  const logger = { log: (): void => undefined };
  const context = { id: 'r1', runtime: { clock: createSystemClock(), random, logger, temporaryFolder: '/nowhere' } };
  const place = findTarget(folder.at('data'), 'r1');
  for (const path of [place.target, place.fresh]) mkdirSync(path);
  await markVerified(place, random, run);
  assert.equal(folderIfGivenUp(place.target, context), undefined);
  const interrupted = { random, check: (): void => rmSync(place.fresh, { recursive: true }) };
  await assert.rejects(swapIn(place, interrupted, run), { code: 'RESTORE_CONFLICT', message: /is gone$/ });
  assert.equal(folderIfGivenUp(place.target, context)?.state, `${place.target} is as it was before the restore`);
  await giveFolderUp(place.target, context);
  assert.deepEqual([existsSync(place.target), readJournal(place)], [true, undefined]);
});
