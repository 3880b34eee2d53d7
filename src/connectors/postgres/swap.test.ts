import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync } from 'node:fs';
import { test } from 'node:test';
import { createSeededRandom } from '../../flow/random.ts';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { markVerified, readJournal } from './swap.ts';
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
