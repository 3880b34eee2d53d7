import assert from 'node:assert/strict';
import { test } from 'node:test';
import { must } from '../core/must.ts';
import { countingStore } from '../objects/wrappers/counting.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { ChunkPacks } from '../testing/chunk-packs.ts';
import { forgeBase } from '../testing/forged-base.ts';
import type { ForgedBase } from '../testing/forged-base.ts';
import { RepositoryFixture } from '../testing/repository-fixture.ts';
import type { FixtureStore } from '../testing/repository-fixture.ts';
import { NodeBuilder, writeList } from './format/node.ts';
import type { NodeContent } from './format/node.ts';
import { recordKey } from './format/names.ts';
import { writeRecord } from './format/record.ts';
import { readerKey } from './pack-directory.ts';
import { writeMark } from './records/bodies.ts';
import { verifyRepository } from './verify.ts';
import type { VerifyOptions, VerifyReport } from './verify.ts';
import { checkInPlace } from './verify/check-in-place.ts';
import type { Damage } from './verify/damage.ts';

const named = (name: string): Buffer => Buffer.from(name, 'latin1');
const filled = (text: string, sizeBytes = 3000): Buffer => Buffer.alloc(sizeBytes, `${text} `);

type Options = Partial<VerifyOptions> & { readonly objects?: ObjectStore };

async function verify(fixture: RepositoryFixture, share: number, options: Options = {}): Promise<VerifyReport> {
  const access = await fixture.open(options.objects);
  const openChecker = async (): Promise<ReturnType<typeof checkInPlace>> => checkInPlace(access);
  const { random } = fixture.runtime;
  return verifyRepository(
    {
      access,
      remembered: fixture.remembered,
      share,
      random,
      openChecker,
      decoderOf: async () => undefined,
      onProgress: () => undefined,
      ...options,
    },
    fixture.run,
  );
}

function flip(fixture: RepositoryFixture, key: string, at: number): void {
  const bytes = Buffer.from(must(fixture.memory.get(key), 'the object'));
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  fixture.memory.put(key, bytes);
}

/** Tells packs of a few nodes from those of contents, which are larger. */
function isNodePack(fixture: RepositoryFixture, key: string): boolean {
  return (fixture.memory.get(key)?.byteLength ?? 0) < 2200;
}

function storeOf(count: number, attributesBytes = 10): FixtureStore {
  return new Map(
    Array.from({ length: count }, (_, number) => [
      `entry ${String(number).padStart(5, '0')}`,
      {
        attributes: filled(`a${number}`, attributesBytes),
        content: number % 10 === 0 ? filled(`c${number}`) : undefined,
      },
    ]),
  );
}

/** A small base that is all right, and its parts, for what a liar would change of it. */
async function forge(packs: ChunkPacks) {
  const chunks = [filled('one'), filled('two')];
  const { ids, pack: contentPack } = await packs.store('content', [chunks]);
  const [one, two] = [must(ids[0], 'an id'), must(ids[1], 'an id')];
  const part = (id: Uint8Array, sizeBytes = 3000): NodeContent => ({
    kind: 'chunks',
    sizeBytes,
    chunks: [{ id, sizeBytes }],
  });
  const leaf = (items: readonly (readonly [string, NodeContent | undefined])[]): Uint8Array => {
    const builder = new NodeBuilder(0);
    for (const [name, content] of items) builder.leaf({ name: named(name), attributes: named('x'), content });
    return builder.take();
  };
  const inner = (level: number, items: readonly (readonly [string, Uint8Array, number, number])[]): Uint8Array => {
    const builder = new NodeBuilder(level);
    for (const [name, id, entryCount, contentBytes] of items) {
      builder.inner({ name: named(name), id, entryCount, contentBytes });
    }
    return builder.take();
  };
  const leaves = [
    leaf([
      ['a', part(one)],
      ['b', undefined],
    ]),
    leaf([['c', part(two)]]),
  ];
  const leafIds = leaves.map((bytes) => packs.idOf('node', bytes));
  const [left, right] = [must(leafIds[0], 'a leaf'), must(leafIds[1], 'a leaf')];
  const root = inner(1, [
    ['a', left, 2, 3000],
    ['c', right, 1, 3000],
  ]);
  const { pack: nodePack } = await packs.store('node', [[...leaves, root]]);
  const base: ForgedBase = {
    store: 'liar',
    root: packs.idOf('node', root),
    level: 1,
    entries: 3,
    bytes: 6000,
    packs: [contentPack, nodePack],
  };
  return { base, one, two, left, right, contentPack, nodePack, leaf, inner, part };
}

type Forge = Awaited<ReturnType<typeof forge>>;

/** What verify says of the base that `lie` makes of an honest one; also that nothing is proven. */
async function caught(share: number, lie: (honest: Forge, packs: ChunkPacks) => Promise<ForgedBase>): Promise<Damage> {
  await using fixture = await RepositoryFixture.create();
  await using packs = await ChunkPacks.create(fixture);
  const { mark } = await forgeBase(fixture, packs, await lie(await forge(packs), packs));
  const { damage, proven } = await verify(fixture, share);
  assert.equal(damage.length, 1, JSON.stringify(damage));
  assert.equal(proven.length, 0);
  const [item] = damage;
  assert.ok(item?.affects.includes(`${mark} liar`), JSON.stringify(item));
  return must(item, 'an item of damage');
}

/** The honest base with another root over new nodes. */
async function withRoot(
  packs: ChunkPacks,
  honest: Forge,
  root: { node: Uint8Array; level: number; nodes?: readonly Uint8Array[] },
): Promise<ForgedBase> {
  const { pack } = await packs.store('node', [[...(root.nodes ?? []), root.node]]);
  return {
    ...honest.base,
    root: packs.idOf('node', root.node),
    level: root.level,
    packs: [...honest.base.packs, pack],
  };
}

test('an honest base has no damage, and is proven when every byte was read', async () => {
  await using fixture = await RepositoryFixture.create();
  await using packs = await ChunkPacks.create(fixture);
  const { base } = await forge(packs);
  await forgeBase(fixture, packs, base);
  const structure = await verify(fixture, 0);
  assert.deepEqual([structure.damage, structure.proven.length, structure.chunks, structure.bytes], [[], 0, 5, 0]);
  const full = await verify(fixture, 1);
  assert.deepEqual([full.damage, full.proven.length, full.chunks], [[], 1, 5]);
  assert.deepEqual(
    full.proven.map(({ chunks, bytes }) => [chunks, bytes]),
    [[2, 6000]],
  );
});

test('a chunk that is another one than its writer says is found', async () => {
  const found = await caught(1, async (honest, packs) => {
    const falseId = packs.idOf('content', filled('promised'));
    const { pack } = await packs.store('content', [[filled('given')]], () => falseId);
    const node = honest.leaf([['f', honest.part(falseId)]]);
    return {
      ...(await withRoot(packs, honest, { node, level: 0 })),
      entries: 1,
      bytes: 3000,
      packs: [pack, ...(await withRoot(packs, honest, { node, level: 0 })).packs],
    };
  });
  assert.equal(found.kind, 'pack');
  assert.ok(found.affects.includes('liar:f'));
});

test('a node that is another one than its writer says is found by structure', async () => {
  for (const share of [0, 1]) {
    const found = await caught(share, async (honest, packs) => {
      const falseId = packs.idOf('node', honest.leaf([['promised', undefined]]));
      const { pack } = await packs.store('node', [[honest.leaf([['given', undefined]])]], () => falseId);
      return { ...honest.base, root: falseId, level: 0, entries: 1, bytes: 0, packs: [pack] };
    });
    assert.equal(found.kind, 'pack');
  }
});

test('a base whose manifest does not name all its packs is found, although all is there', async () => {
  for (const missing of ['contentPack', 'nodePack'] as const) {
    const found = await caught(0, async (honest) => ({
      ...honest.base,
      packs: honest.base.packs.filter((pack) => pack !== honest[missing]),
    }));
    assert.equal(found.kind, 'base');
    assert.match(found.message, /none of its packs has them/);
  }
});

test('a subtree that was whole in one base is not taken for whole in one that lacks its packs', async () => {
  await using fixture = await RepositoryFixture.create();
  await using packs = await ChunkPacks.create(fixture);
  const { base, nodePack } = await forge(packs);
  const whole: string[] = [];
  const poor: string[] = [];
  // They are checked in any order.
  for (let number = 0; number < 5; number++) {
    whole.push((await forgeBase(fixture, packs, base)).manifest);
    poor.push((await forgeBase(fixture, packs, { ...base, packs: [nodePack] })).manifest);
  }
  const { damage, proven } = await verify(fixture, 1);
  assert.deepEqual(damage.map(({ object }) => object).toSorted(), poor.toSorted());
  assert.ok(
    damage.every(({ affects }) => affects.length === 3 && affects.includes('liar:a') && affects.includes('liar:c')),
  );
  assert.deepEqual(proven.map((item) => item.base.key).toSorted(), whole.toSorted());
});

const oddTrees: Readonly<
  Record<string, (honest: Forge) => { node: Uint8Array; level: number; nodes?: readonly Uint8Array[] }>
> = {
  'a wrong number of entries': ({ inner, left, right }) => ({
    node: inner(1, [
      ['a', left, 3, 3000],
      ['c', right, 1, 3000],
    ]),
    level: 1,
  }),
  'a wrong number of bytes': ({ inner, left, right }) => ({
    node: inner(1, [
      ['a', left, 2, 3001],
      ['c', right, 1, 3000],
    ]),
    level: 1,
  }),
  'another first name': ({ inner, left, right }) => ({
    node: inner(1, [
      ['A', left, 2, 3000],
      ['c', right, 1, 3000],
    ]),
    level: 1,
  }),
  'names that overlap': ({ inner, left, right }) => ({
    node: inner(1, [
      ['a', left, 2, 3000],
      ['aa', right, 1, 3000],
    ]),
    level: 1,
  }),
  'another level': ({ inner, left }) => ({ node: inner(2, [['a', left, 2, 3000]]), level: 2 }),
  'another size of a chunk': ({ leaf, part, one }) => ({ node: leaf([['a', part(one, 2999)]]), level: 0 }),
};

for (const [what, tree] of Object.entries(oddTrees)) {
  test(`a tree with ${what} is found by structure`, async () => {
    const found = await caught(0, async (honest, packs) => withRoot(packs, honest, tree(honest)));
    assert.notEqual(found.kind, 'manifest', 'it is not only the totals that tell');
  });
}

test('a node that is used as the content of an entry is found', async () => {
  const found = await caught(1, async (honest, packs) =>
    withRoot(packs, honest, { node: honest.leaf([['a', honest.part(honest.left)]]), level: 0 }),
  );
  assert.equal(found.kind, 'base');
});

test('a list that is not as long as its parts is found by structure', async () => {
  const found = await caught(0, async (honest, packs) => {
    const list = writeList(0, [{ id: honest.one, sizeBytes: 3000 }]);
    const content: NodeContent = { kind: 'list', depth: 0, sizeBytes: 3001, id: packs.idOf('node', list) };
    return withRoot(packs, honest, { node: honest.leaf([['a', content]]), level: 0, nodes: [list] });
  });
  assert.equal(found.kind, 'node');
});

test('a manifest that counts otherwise than its tree, or lacks a section, is found by structure', async () => {
  for (const lie of [{ entries: 4 }, { bytes: 5999 }, { without: 'content' }] as const) {
    const found = await caught(0, async ({ base }) => ({ ...base, ...lie }));
    assert.equal(found.kind, 'manifest');
  }
});

test('a record that its own writer made anew later is found, since the next one does not follow it', async () => {
  await using fixture = await RepositoryFixture.create();
  await fixture.backup({ writer: 'a', stores: { one: storeOf(3) } });
  const { catalogue, damage } = await verify(fixture, 0);
  assert.deepEqual(damage, []);
  const [journal] = catalogue.marks;
  const { header } = must(catalogue.log.byKey.get(journal?.key ?? ''), 'the record').record;
  const credential = must((await fixture.writerAccess('a')).writer, 'a writer');
  const value = { marks: [writeMark({ ...must(journal, 'the mark').mark, name: 'another' })] };
  const anew = writeRecord({
    header,
    sections: [{ name: 'maintenance', value }],
    signing: credential.signing,
    keys: fixture.owner.header,
    random: fixture.runtime.random,
  });
  fixture.memory.put(must(journal, 'the mark').key, anew);
  const after = await verify(fixture, 0, { remembered: [] });
  assert.deepEqual(
    after.damage.map(({ kind }) => kind),
    ['chain'],
  );
  assert.match(after.damage[0]?.message ?? '', /does not follow the record before it/);
});

test('a record that takes the number of another, or comes after the end, is found', async () => {
  await using fixture = await RepositoryFixture.create();
  await fixture.backup({ writer: 'a', stores: { one: storeOf(3) } });
  const { catalogue } = await verify(fixture, 0);
  const [session, chain] = must([...catalogue.chains][0], 'a session');
  const credential = must((await fixture.writerAccess('a')).writer, 'a writer');
  const last = must(chain.get(chain.size - 1), 'the end');
  assert.equal(last.record.header.kind, 'end');
  const whole = fixture.memory.snapshot();
  const found = async (kind: 'run' | 'journal', counter: number, previous: string): Promise<readonly string[]> => {
    fixture.memory.restore(whole);
    const record = writeRecord({
      header: { ...last.record.header, kind, counter, previous },
      sections: [{ name: 'maintenance', value: { marks: [] } }],
      signing: credential.signing,
      keys: fixture.owner.header,
      random: fixture.runtime.random,
    });
    fixture.memory.put(recordKey(kind, session, counter), record);
    const { damage } = await verify(fixture, 0);
    assert.deepEqual(
      damage.map(({ kind: what }) => what),
      damage.map(() => 'chain'),
    );
    return damage.map(({ message }) => message);
  };
  const { previous, counter } = last.record.header;
  assert.match(
    (await found('journal', counter - 1, must(chain.get(counter - 1), 'a record').record.header.previous)).join(),
    /has the number of another record/,
  );
  assert.match((await found('run', counter, previous)).join(), /has the number of another record/);
  assert.match((await found('run', counter + 1, last.record.digest)).join(), /comes after the end of its session/);
});

test('a base is proven when every byte of its packs was read and its tree is whole, whatever became of others', async () => {
  await using fixture = await RepositoryFixture.create();
  const first = await fixture.backup({ writer: 'a', stores: { one: storeOf(50) } });
  const second = await fixture.backup({ writer: 'b', stores: { two: storeOf(60) } });
  const whole = await verify(fixture, 1);
  assert.deepEqual(whole.proven.map(({ base }) => base.summary.store).toSorted(), ['one', 'two']);
  assert.deepEqual((await verify(fixture, 0)).proven, []);
  const [pack = ''] = fixture.memory
    .keys()
    .filter((key) =>
      key.startsWith(`packs/${whole.proven.find(({ base }) => base.summary.store === 'two')?.base.credential}`),
    );
  flip(fixture, pack, 150);
  const { damage, proven } = await verify(fixture, 1);
  assert.deepEqual(
    proven.map(({ base }) => base.key),
    [must(first.bases.get('one'), 'a base').key],
  );
  assert.equal(damage.length, 1);
  assert.ok(damage[0]?.affects.every((text) => text === `${second.mark.id} two` || text.startsWith('two:')));
});

test('a sample reads the data of that share of the packs, at least of one, and proves only what it has read whole', async () => {
  await using fixture = await RepositoryFixture.create();
  for (let number = 0; number < 4; number++) {
    await fixture.backup({ writer: `writer ${number}`, stores: { [`store${number}`]: storeOf(20 + number) } });
  }
  const packs = fixture.memory.keys().filter((key) => key.startsWith('packs/')).length;
  for (const [share, expected] of [
    [0.01, 1],
    [0.5, Math.ceil(packs / 2)],
    [1, packs],
  ] as const) {
    const read: string[] = [];
    const access = await fixture.open();
    const inner = checkInPlace(access);
    const openChecker = async (): Promise<typeof inner> => ({
      ...inner,
      check: async (pack, keys, run) => {
        read.push(pack.key);
        return inner.check(pack, keys, run);
      },
    });
    const progress: number[] = [];
    const { proven, damage } = await verify(fixture, share, {
      openChecker,
      onProgress: ({ packs: done, totalPacks }) => progress.push(done / totalPacks),
    });
    assert.deepEqual([damage.length, new Set(read).size, read.length], [0, expected, expected]);
    assert.equal(progress.at(-1), 1);
    for (const { base } of proven) {
      const needed = (base.maintenance?.packs ?? []).map((pack) => `packs/${base.credential}/${pack}`);
      assert.ok(needed.every((key) => read.includes(key)));
    }
  }
});

test('bases that share their trees are checked in the time of one', async () => {
  await using fixture = await RepositoryFixture.create();
  const store = storeOf(2000, 200);
  await fixture.backup({ writer: 'a', stores: { one: store } });
  const packReads = async (): Promise<number> => {
    let reads = 0;
    const read: ObjectStore['read'] = (key, offset, into, run) => {
      if (key.startsWith('packs/')) reads += 1;
      return fixture.memory.read(key, offset, into, run);
    };
    const { damage } = await verify(fixture, 0, { objects: { ...countingStore(fixture.memory), read } });
    assert.deepEqual(damage, []);
    return reads;
  };
  const before = await packReads();
  for (let number = 0; number < 20; number++) await fixture.backup({ writer: 'a', stores: { one: store } });
  assert.equal((await verify(fixture, 0)).bases, 21);
  assert.equal(await packReads(), before);
});

test('what is lost is named: mark and store, and the first names, fit for a terminal', async () => {
  await using fixture = await RepositoryFixture.create();
  const names = [
    '\x01\xff no text',
    'folder\0file',
    'tab\there',
    ...Array.from({ length: 40 }, (_, number) => `z${number}`),
  ];
  const store = new Map(names.map((name) => [name, { attributes: named('a'), content: filled(name) }]));
  const first = await fixture.backup({ writer: 'a', stores: { one: store } });
  const packs = fixture.memory.keys().filter((key) => key.startsWith('packs/'));
  const second = await fixture.backup({ writer: 'a', stores: { two: storeOf(3) }, older: first.bases });
  // Nodes are written after contents, so that their pack comes later in the session.
  const content = must(
    packs.find((key) => !isNodePack(fixture, key)),
    'the pack of contents',
  );
  const whole = must(fixture.memory.get(content), 'the pack');
  fixture.memory.put(content, whole.subarray(0, whole.byteLength - 1));
  for (const share of [0, 1]) {
    const { damage } = await verify(fixture, share);
    const [item] = damage;
    assert.deepEqual([damage.length, item?.object, item?.kind], [1, content, 'pack']);
    const affects = item?.affects ?? [];
    assert.deepEqual(affects.slice(0, 2), [`${first.mark.id} one`, `${second.mark.id} one`]);
    assert.deepEqual(affects.slice(2, 5), ['one:\\x01\\xff no text', 'one:folder/file', 'one:tab\\x09here']);
    assert.ok(affects.at(-1) === 'and more entries' && affects.length === 2 + 20 + 1);
  }
});

test('what retention gave up and a sweep took while it ran is no damage', async () => {
  await using fixture = await RepositoryFixture.create();
  const first = await fixture.backup({ writer: 'a', stores: { one: storeOf(30) } });
  await fixture.backup({ writer: 'b', stores: { two: storeOf(40) } });
  const access = await fixture.open();
  const inner = checkInPlace(access);
  const key = must(first.bases.get('one'), 'a base').key;
  const credential = must((await verify(fixture, 0)).catalogue.bases.get(key), 'the base').credential;
  const journal = must(
    (await verify(fixture, 0)).catalogue.marks.find(({ mark }) => mark.id === first.mark.id),
    'the mark',
  ).key;
  const takeAll = (): void => {
    for (const object of fixture.memory.keys()) {
      if (object.startsWith(`packs/${credential}/`)) fixture.memory.remove(object);
    }
  };
  const sweeping = async (): Promise<typeof inner> => {
    takeAll();
    return inner;
  };
  assert.ok(
    (await verify(fixture, 1, { openChecker: sweeping })).damage.length > 0,
    'while the mark is there its packs are missed',
  );
  const forgetting = async (): Promise<typeof inner> => {
    fixture.memory.remove(journal);
    return inner;
  };
  const { damage } = await verify(fixture, 1, { openChecker: forgetting });
  assert.deepEqual(
    damage.map(({ kind }) => kind).filter((kind) => kind === 'pack'),
    [],
  );
});

test('a record whose damage makes it name a credential that never was is named itself', async () => {
  await using fixture = await RepositoryFixture.create();
  await fixture.backup({ writer: 'a', stores: { one: storeOf(30) } });
  const [journal = ''] = fixture.memory.keys().filter((key) => key.startsWith('journal/'));
  const text = Buffer.from(must(fixture.memory.get(journal), 'the object')).toString('latin1');
  flip(fixture, journal, text.indexOf('"credential":"') + '"credential":"'.length);
  const { damage } = await verify(fixture, 0);
  assert.deepEqual(
    damage.map(({ object }) => object),
    [journal],
  );
});

test('an index object that is damaged is noted, and no damage', async () => {
  await using fixture = await RepositoryFixture.create();
  await fixture.backup({ writer: 'a', stores: { one: storeOf(30) } });
  const [index = ''] = fixture.memory.keys().filter((key) => key.startsWith('index/'));
  flip(fixture, index, 60);
  const report = await verify(fixture, 1);
  assert.deepEqual([report.damage, report.notes.length, report.proven.length], [[], 1, 1]);
  assert.match(must(report.notes[0], 'a note'), /^index\/.* is damaged/);
  fixture.memory.remove(index);
  assert.deepEqual((await verify(fixture, 1)).notes, []);
});

test('verification takes a reader’s key', async () => {
  await using fixture = await RepositoryFixture.create();
  const { keyring: _, ...access } = fixture.owner;
  assert.throws(() => readerKey(access), /role of a reader/);
  await assert.rejects(verify(fixture, 0, { access }), /role of a reader/);
});
