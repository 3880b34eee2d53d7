import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import { isUnfinished, listJournals, removeJournal, saveJournal, unfinishedError } from './restore-journal.ts';
import type { RestoreJournal } from './restore-journal.ts';

const run = { signal: new AbortController().signal };
const random = (sizeBytes: number): Uint8Array => new Uint8Array(sizeBytes).fill(7);

function journal(id: string, more: Partial<RestoreJournal> = {}): RestoreJournal {
  return {
    id,
    atMs: 1_000,
    mark: `mark-${id}`,
    only: ['/a'],
    skipDamaged: false,
    phase: 'done',
    stores: [
      {
        store: 'uploads',
        kind: 'files',
        scheme: 'files',
        via: [],
        replace: false,
        canSkipDamaged: true,
        target: '/data',
        options: { exclude: ['x'] },
        position: { lineage: 'one', order: '1', resume: '1' },
        base: 'b',
        turn: 0,
        undoing: false,
        damagedCount: 0,
      },
    ],
    ...more,
  };
}

test('journals come back as they were saved, oldest first, and are removed', async () => {
  await using folder = temporaryFolder();
  const stateFolder = folder.path;
  assert.deepEqual(await listJournals(stateFolder), []);
  const [item] = journal('a').stores;
  assert.ok(item !== undefined);
  const first = journal('b', { phase: 'writing' });
  const second = journal('a', {
    atMs: 2_000,
    stores: [item, { ...item, store: 'more', into: '/x', keptAside: '/y', turn: 3, undoing: true }],
  });
  for (const saved of [second, first, { ...first, phase: 'swapping' } as const]) {
    await saveJournal({ stateFolder, journal: saved, random }, run);
  }
  const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
  assert.deepEqual(plain(await listJournals(stateFolder)), plain([{ ...first, phase: 'swapping' }, second]));
  await removeJournal(stateFolder, 'b');
  assert.deepEqual(
    (await listJournals(stateFolder)).map(({ id }) => id),
    ['a'],
  );
  writeFileSync(folder.at('restores', 'c.json'), '{"id":"c"}');
  await assert.rejects(listJournals(stateFolder), { code: 'FAILED', message: /restores\/c\.json .* is damaged/ });
});

test('a restore of each store to a time of its own has no mark, and keeps how near it came', async () => {
  await using folder = temporaryFolder();
  const [item] = journal('a').stores;
  assert.ok(item !== undefined);
  const nearest = { atMs: 7, isCovered: true };
  const stores = [{ ...item, credential: 'c', nearest }];
  const saved = journal('a', { mark: undefined, askedMs: Date.parse('2026-11-20'), phase: 'writing', stores });
  await saveJournal({ stateFolder: folder.path, journal: saved, random }, run);
  const [read] = await listJournals(folder.path);
  assert.deepEqual([read?.mark, read?.askedMs], [undefined, saved.askedMs]);
  assert.deepEqual([read?.stores[0]?.credential, read?.stores[0]?.nearest], ['c', nearest]);
  assert.match(unfinishedError(saved, []).message, /restore of each store to 2026-11-20T00:00:00.000Z, begun/);
});

test('what is unfinished says how to go on', () => {
  assert.deepEqual([journal('a'), journal('b')].filter(isUnfinished), []);
  const cases = [
    [journal('a', { phase: 'writing' }), /--resume`, or drop it with `tidemark restore --discard/],
    [journal('a', { phase: 'swapping' }), /^Finish it with `tidemark restore --resume`\.$/],
    [journal('a', { stores: journal('a').stores.map((item) => ({ ...item, undoing: true })) }), /restore --undo/],
  ] as const;
  for (const [unfinished, hint] of cases) {
    assert.ok(isUnfinished(unfinished));
    assert.match(unfinishedError(unfinished, []).hint, hint);
  }
});

test('of an exchange that was cut off it says which stores are given up, and what is finished', () => {
  const swapping = journal('a', { phase: 'swapping' });
  const [item] = swapping.stores;
  assert.ok(item !== undefined);
  const lost = { store: item.store, state: 'it is as it was', folder: '/srv', canGoOn: false };
  assert.equal(
    unfinishedError(swapping, [lost]).hint,
    `${item.store} can’t be finished: give up with \`tidemark restore --discard ${item.store}\`, which deletes no data. ${item.store}: it is as it was.`,
  );
  const more = { ...swapping, stores: [item, { ...item, store: 'more' }] };
  assert.match(unfinishedError(more, [lost]).hint, /Then finish the rest with `tidemark restore --resume`\.$/);
  assert.match(
    unfinishedError(more, [{ ...lost, canGoOn: true }]).hint,
    /^Finish it with .*--resume`\. A server that does not come back is given up with/,
  );
});
