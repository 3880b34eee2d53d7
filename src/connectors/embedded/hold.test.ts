import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSystemClock } from '../../flow/clock.ts';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { openEmbedded } from './connector.ts';
import { holdStore } from './hold.ts';

test('while a store is held nobody writes, and it is written on when it is let go', async () => {
  await using folder = temporaryFolder();
  const run = { signal: new AbortController().signal };
  using store = openEmbedded(folder.at('a.db'), { busyTimeoutMs: 1 });
  store.put('k', '1');
  {
    await using _held = await holdStore({ file: folder.at('a.db') }, { clock: createSystemClock() }, run);
    assert.throws(() => store.put('k', '2'), { code: 'BUSY' });
  }
  store.put('k', '3');
  assert.deepEqual(store.get('k'), Uint8Array.of(0x33));
});
