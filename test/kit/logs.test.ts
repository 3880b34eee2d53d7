import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { must } from '../../src/core/must.ts';
import { createSeededRandom } from '../../src/flow/random.ts';
import type { SegmentDraft } from '../../src/repository/journal-writer.ts';
import { positionAt } from '../../src/testing/repository-fixture.ts';
import { temporaryFolder } from '../../src/testing/tree/temporary-folder.ts';
import { joined, LoggedShop } from '../golden/logged-shop.ts';
import { assertCatalog, assertMoment, kit } from '../golden/restore-moments.ts';

const ROUNDS = process.env['TIDEMARK_TEST_LEVEL'] === 'full' ? 10 : 2;

/** Values that do not pack, so that the frames of some dozens lie apart. */
function fill(shop: LoggedShop, from: number, count: number): void {
  const random = createSeededRandom(from);
  shop.catalog.transaction((transaction) => {
    for (let number = from; number < from + count; number++) transaction.put(`key/${number}`, random.bytes(500));
  });
}

async function openShop(): Promise<LoggedShop> {
  const shop = await LoggedShop.open('kit');
  shop.write('a', 'a file');
  fill(shop, 0, 3);
  await shop.begin();
  await shop.baseOfCatalog();
  await shop.baseOfUploads();
  return shop;
}

function bodiesIn(repository: string): readonly string[] {
  const files = readdirSync(join(repository, 'logs'), { recursive: true, withFileTypes: true });
  return files.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
}

test('whatever happened to the stores, the kit restores every mark that stands on their logs exactly', async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const seed = randomInt(2 ** 31);
    const random = createSeededRandom(seed);
    await using shop = await openShop();
    const segments: SegmentDraft[][] = [];
    const paths = new Set(['a']);
    for (let step = 0; step < 5; step++) {
      for (let edit = random.integer(40); edit >= 0; edit--) {
        const key = `key/${random.integer(30)}`;
        if (random.chance(0.3)) shop.catalog.delete(key);
        else shop.catalog.put(key, random.bytes(random.integer(random.chance(0.1) ? 20_000 : 300)));
      }
      shop.catalog.put('step', String(step));
      const [changed, removed] = [new Set(['']), new Set<string>()];
      for (let edit = random.integer(4); edit >= 0; edit--) {
        const path = `f${random.integer(8)}`;
        if (paths.delete(path) && random.chance(0.5)) {
          shop.remove(path);
          changed.delete(path);
          removed.add(path);
        } else {
          shop.write(path, random.bytes(random.integer(9000)));
          paths.add(path);
          removed.delete(path);
          changed.add(path);
        }
      }
      const put = [await shop.logOfCatalog(), await shop.observe({ changed: [...changed], removed: [...removed] })];
      segments.push(put);
      await shop.put(put, [shop.mark()]);
      if (random.chance(0.3)) await shop.baseOfUploads();
      if (random.chance(0.3)) {
        const from = random.integer(segments.length);
        await shop.put([0, 1].map((store) => joined(segments.slice(from).flatMap((both) => both[store] ?? []))));
      }
    }
    await shop.end();
    await using out = temporaryFolder();
    shop.export(out.at('repository'));
    for (const [id, moment] of shop.moments) {
      const ended = kit('restore', out.at('repository'), id, out.at(id));
      assert.equal(ended.status, 0, `seed ${seed}: ${ended.err}`);
      assertMoment(out.at(id), moment, `seed ${seed}`);
    }
    const verified = kit('verify', out.at('repository'));
    assert.deepEqual([verified.status, verified.err], [0, ''], `seed ${seed}`);
  }
});

test('ls and a part of a restore show the state at the mark, not that of its base', async () => {
  await using shop = await openShop();
  shop.write('new/deep/file', 'x');
  shop.write('new/other', 'y');
  shop.remove('a');
  shop.catalog.put('other', 'value');
  const changed = ['', 'new', 'new/deep', 'new/deep/file', 'new/other'];
  await shop.put([await shop.logOfCatalog(), await shop.observe({ changed, removed: ['a'] })], [shop.mark()]);
  await shop.end();
  await using out = temporaryFolder();
  shop.export(out.at('repository'));
  const shown = (...args: readonly string[]): readonly string[] =>
    kit('ls', out.at('repository'), 'latest', ...args)
      .out.trimEnd()
      .split('\n')
      .map((line) => line.split(' ').at(-1) ?? '');
  assert.deepEqual(shown('uploads'), ['new']);
  assert.deepEqual(shown('uploads', 'new'), ['deep', 'other']);
  assert.deepEqual(shown('catalog'), ['key/0', 'key/1', 'key/2', 'other']);
  assert.equal(
    kit('restore', out.at('repository'), 'latest', out.at('some'), 'uploads', '--only', 'new/deep').status,
    0,
  );
  assert.deepEqual(readdirSync(out.at('some', 'uploads'), { recursive: true }), ['new', 'new/deep', 'new/deep/file']);
  assert.equal(kit('restore', out.at('repository'), 'latest', out.at('none'), 'uploads', '--only', 'a').status, 4);
});

type Spoiled = { readonly what: string; readonly spoil: (path: string) => void };

const SPOILED: readonly Spoiled[] = [
  { what: 'missing', spoil: (path) => rmSync(path) },
  { what: 'truncated', spoil: (path) => writeFileSync(path, readFileSync(path).subarray(0, -7)) },
  { what: 'extended', spoil: (path) => writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.from('x')])) },
  {
    what: 'flipped',
    spoil: (path) => {
      const bytes = readFileSync(path);
      bytes[100] = (bytes[100] ?? 0) ^ 1;
      writeFileSync(path, bytes);
    },
  },
];

for (const { what, spoil } of SPOILED) {
  test(`a body that is ${what} is told, the store is not restored to another state, and the rest is`, async () => {
    await using shop = await openShop();
    fill(shop, 100, 50);
    await shop.put([await shop.logOfCatalog()], [shop.mark()]);
    await shop.end();
    await using out = temporaryFolder();
    const repository = out.at('repository');
    shop.export(repository);
    const [body, ...others] = bodiesIn(repository);
    assert.equal(others.length, 0);
    spoil(must(body, 'a body'));
    const ended = kit('restore', repository, 'latest', out.at('out'));
    assert.equal(ended.status, 5, ended.err);
    assert.match(ended.err, /damaged: catalog: logs\//);
    assert.ok(!existsSync(out.at('out', 'catalog')));
    assert.equal(readFileSync(out.at('out', 'uploads', 'a'), 'utf8'), 'a file');
    const verified = kit('verify', repository);
    assert.equal(verified.status, 5);
    assert.match(verified.err, /damaged: logs\/.*\n/);
    if (what === 'missing') assert.match(kit('list', repository).err, /of its log is missing/);
  });
}

test('where another segment tells the same as one that is damaged, nothing is lost', async () => {
  await using shop = await openShop();
  fill(shop, 100, 50);
  const first = await shop.logOfCatalog();
  await shop.put([first], [shop.mark()]);
  fill(shop, 200, 50);
  const second = await shop.logOfCatalog();
  await shop.put([second], [shop.mark()]);
  await shop.put([joined([first, second])]);
  await shop.end();
  await using out = temporaryFolder();
  shop.export(out.at('repository'));
  const bodies = bodiesIn(out.at('repository')).toSorted((a, b) => readFileSync(b).length - readFileSync(a).length);
  rmSync(must(bodies[0], 'a merged body'));
  const statuses: (number | null)[] = [];
  for (const [id, moment] of shop.moments) {
    const ended = kit('restore', out.at('repository'), id, out.at(id));
    statuses.push(ended.status);
    assertCatalog(out.at(id), moment.catalog, id);
  }
  // The first mark stands where a segment of its own ends, and needs no other.
  assert.deepEqual(statuses, [0, 5]);
});

const UNSOUND: Readonly<Record<string, (draft: SegmentDraft) => SegmentDraft>> = {
  'frames that do not follow on each other': (draft) => ({
    ...draft,
    frames: Buffer.concat([draft.frames, draft.frames]),
  }),
  'frames that begin elsewhere': (draft) => ({ ...draft, after: { ...draft.after, order: `${draft.after.order}0` } }),
  'frames that end elsewhere': (draft) => ({ ...draft, upTo: { ...draft.upTo, order: `${draft.upTo.order}0` } }),
  'frames of another lineage': (draft) => ({
    ...draft,
    after: { ...draft.after, lineage: 'x' },
    upTo: { ...draft.upTo, lineage: 'x' },
  }),
  'no frames': (draft) => ({ ...draft, frames: Buffer.alloc(0) }),
  'frames that are cut off': (draft) => ({ ...draft, frames: draft.frames.subarray(0, -1) }),
  'packs that are not there': (draft) => ({ ...draft, packs: [] }),
};

test('a segment that a liar put is found by verify', async () => {
  for (const [what, spoil] of Object.entries(UNSOUND)) {
    await using shop = await openShop();
    shop.write('b', 'content of its own');
    const draft = await shop.observe({ changed: ['', 'b'] });
    await shop.put([spoil(draft)]);
    await shop.end();
    await using out = temporaryFolder();
    shop.export(out.at('repository'));
    const verified = kit('verify', out.at('repository'));
    assert.equal(verified.status, 5, `${what}: ${verified.out}`);
    assert.match(verified.err, /damaged: journal\//, what);
  }
});

test('a mark whose log is not there counts without that store, and a fork leads nowhere', async () => {
  await using shop = await openShop();
  fill(shop, 100, 1);
  await shop.logOfCatalog();
  await shop.put([], [shop.mark()]);
  shop.write('b', 'b');
  const draft = await shop.observe({ changed: ['', 'b'] });
  await shop.put([{ ...draft, upTo: { ...draft.upTo, resume: 'another' } }]);
  await shop.put([await shop.observe({ changed: [''] })]);
  await shop.put([], [shop.mark({ positions: { uploads: shop.uploadsAt } })]);
  await shop.put([], [shop.mark({ positions: { uploads: positionAt(1) } })]);
  await shop.end();
  await using out = temporaryFolder();
  shop.export(out.at('repository'));
  const listed = kit('list', out.at('repository'));
  assert.equal(listed.status, 5);
  assert.equal(listed.out.match(/ partial, /g)?.length, 3, listed.out);
  const [, second] = [...shop.moments.keys()];
  const ended = kit('restore', out.at('repository'), must(second, 'a mark'), out.at('out'));
  assert.deepEqual([ended.status, existsSync(out.at('out', 'uploads'))], [5, false]);
});
