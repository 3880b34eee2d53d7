import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import { listJournals, refuseUnfinished, removeJournal, saveJournal } from './restore-journal.ts';
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
  assert.throws(() => refuseUnfinished([saved]), {
    message: /restore of each store to 2026-11-20T00:00:00.000Z, begun/,
  });
});

test('what is unfinished says how to go on', () => {
  refuseUnfinished([journal('a'), journal('b')]);
  const cases = [
    [journal('a', { phase: 'writing' }), /--resume`, or drop it with `tidemark restore --discard/],
    [journal('a', { phase: 'swapping' }), /^Finish it with `tidemark restore --resume`\.$/],
    [journal('a', { stores: journal('a').stores.map((item) => ({ ...item, undoing: true })) }), /restore --undo/],
  ] as const;
  for (const [unfinished, hint] of cases) {
    assert.throws(() => refuseUnfinished([journal('b'), unfinished]), { code: 'RESTORE_UNFINISHED', hint });
  }
});
