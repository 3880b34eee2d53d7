import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Runtime } from '../../../core/run.ts';
import { createSystemClock } from '../../../flow/clock.ts';
import { createSeededRandom } from '../../../flow/random.ts';
import { temporaryFolder } from '../../../testing/tree/temporary-folder.ts';
import { besideFolder, folderIfGivenUp, swapFolders } from './files-swap.ts';
import { workFilesIn } from './work-files.ts';

const run = { signal: new AbortController().signal };
const runtime: Runtime = {
  clock: createSystemClock(),
  random: createSeededRandom(1).bytes,
  logger: { log: () => undefined },
  temporaryFolder: '/nowhere',
};

test('a folder is not moved away for one that is gone, and its restore can be given up', async () => {
  await using folder = temporaryFolder();
  const files = workFilesIn(folder.at('work'));
  const swap = { files, runtime, beside: besideFolder(folder.at('data'), 'r1') };
  for (const path of [files.folder, swap.beside.target, swap.beside.fresh]) mkdirSync(path);
  const staged = { version: 1, phase: 'staged', turn: 0, kept: {} };
  for (const state of [staged, { ...staged, phase: 'replacing', coming: '1' }]) {
    writeFileSync(files.state, JSON.stringify(state));
    if (state.phase === 'staged') assert.equal(await folderIfGivenUp(swap), undefined);
    rmSync(swap.beside.fresh, { recursive: true, force: true });
    await assert.rejects(swapFolders(swap, run), { code: 'RESTORE_CONFLICT', message: /is gone$/ });
    assert.ok(existsSync(swap.beside.target));
    assert.match((await folderIfGivenUp(swap))?.state ?? '', /\/data stays as it is$/);
  }
});
