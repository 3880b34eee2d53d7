import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readerOf } from '../core/byte-reader.ts';
import { isTidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import type { Base, Entry, EarlierBase, Extent } from '../core/recorder.ts';
import { createSeededRandom } from '../flow/random.ts';
import type { SeededRandom } from '../flow/random.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { forward } from '../objects/wrappers/forward.ts';
import { baseOf, RepositoryFixture } from '../testing/repository-fixture.ts';
import type { RepositoryWriter, WrittenBase } from './writer.ts';

const NAME = Buffer.from('file');
const PAGE = 1024;

type Change = { readonly keptBytes: number; readonly sizeBytes: number; readonly extents: readonly Extent[] };

function withEntry(describe: Entry['describe']): Base {
  return {
    ...baseOf(new Map(), 1),
    order: 'arrival',
    entries: (async function* () {
      yield [{ name: NAME, estimatedBytes: 0, describe }];
    })(),
  };
}

function whole(bytes: Uint8Array): Base {
  const open = async (): Promise<ReturnType<typeof readerOf>> => readerOf(bytes);
  return withEntry(() => ({ attributes: NAME, content: { kind: 'reader', cut: 'pages', open } }));
}

/** Reads in small steps, so that runs and pages are met in the middle. */
async function patched(earlier: EarlierBase, change: Change, changed: Uint8Array, run: { signal: AbortSignal }) {
  const entry = await earlier.find(NAME, run);
  const reader = readerOf(changed);
  const open = async (): Promise<typeof reader> => ({
    ...reader,
    read: (into) => reader.read(into.subarray(0, 300)),
  });
  return withEntry(() => ({ attributes: NAME, patch: { earlier: entry?.content, ...change, open } }));
}

class Store implements AsyncDisposable {
  readonly fixture: RepositoryFixture;

  constructor(fixture: RepositoryFixture) {
    this.fixture = fixture;
  }

  async write(take: (writer: RepositoryWriter) => Promise<Base>, objects?: ObjectStore): Promise<WrittenBase> {
    await using writer = await this.fixture.openWriter({ writer: 'host', objects });
    const earlier = writer.earlierBase('one');
    const written = await writer.writeBase(
      {
        store: 'one',
        history: 'one',
        exact: 'position',
        connector: 'test',
        url: 'test:one',
        base: await take(writer),
        earlier,
        manifest: 'application: test\n',
        allowEmpty: true,
        onProgress: () => undefined,
      },
      this.fixture.run,
    );
    await writer.putRun(this.fixture.run, { outcome: 'done', summary: {} });
    await writer.end(this.fixture.run);
    await this.fixture.clock.advance(1000);
    return written;
  }

  async bytes({ key }: WrittenBase): Promise<Buffer> {
    const { run } = this.fixture;
    await using reader = await this.fixture.openReader();
    const base = await reader.base(must(reader.catalogue.bases.get(key), 'the base'), run);
    const entry = must(await base.find(NAME, run), 'the entry');
    return entry.content === undefined
      ? Buffer.alloc(0)
      : Buffer.concat(await Array.fromAsync(base.read(entry.content, run)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fixture[Symbol.asyncDispose]();
  }
}

function someExtents(random: SeededRandom, sizeBytes: number): Extent[] {
  const extents: Extent[] = [];
  for (let at = random.integer(3 * PAGE); at < sizeBytes; ) {
    const length = Math.min(1 + random.integer(random.chance(0.3) ? 4 * PAGE : 200), sizeBytes - at);
    extents.push({ offset: at, sizeBytes: length });
    at += length + 1 + random.integer(5 * PAGE);
  }
  return extents;
}

function expected(before: Uint8Array, { keptBytes, sizeBytes, extents }: Change, changed: Uint8Array): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  bytes.set(before.subarray(0, keptBytes));
  let at = 0;
  for (const extent of extents) {
    bytes.set(changed.subarray(at, at + extent.sizeBytes), extent.offset);
    at += extent.sizeBytes;
  }
  return bytes;
}

test('a content that is an earlier one with changes is stored as if it had been read whole, base after base', async () => {
  const seed = Math.floor(Math.random() * 1e9);
  const random = createSeededRandom(seed);
  await using store = new Store(await RepositoryFixture.create());
  const { run } = store.fixture;
  let before: Uint8Array = random.bytes(random.integer(100 * PAGE));
  await store.write(async () => whole(before));
  for (let round = 0; round < 8; round++) {
    const sizeBytes = random.chance(0.1) ? random.integer(100) : random.integer(120 * PAGE);
    const keptBytes = Math.min(before.byteLength, random.chance(0.5) ? sizeBytes : random.integer(sizeBytes + 1));
    const change = { sizeBytes, keptBytes, extents: random.chance(0.2) ? [] : someExtents(random, sizeBytes) };
    const changed = random.bytes(change.extents.reduce((sum, extent) => sum + extent.sizeBytes, 0));
    const written = await store.write(
      async (writer) => await patched(must(writer.earlierBase('one'), 'it'), change, changed, run),
    );
    const wanted = expected(before, change, changed);
    assert.ok((await store.bytes(written)).equals(wanted), `seed ${seed}, round ${round}`);
    assert.equal(written.stored.bytes, sizeBytes);
    // The tree is the same as that of a base which was read whole.
    const again = await store.write(async () => whole(wanted));
    assert.deepEqual(written.stored.root, again.stored.root, `seed ${seed}, round ${round}`);
    assert.equal(again.stored.newBytes, 0);
    before = wanted;
  }
});

test('what has no change is not read, and of what has only what the changes do not cover', async () => {
  await using store = new Store(await RepositoryFixture.create());
  const { run, memory } = store.fixture;
  const before = createSeededRandom('pages').bytes(20 * PAGE);
  await store.write(async () => whole(before));
  const bytes = createSeededRandom('changed').bytes(PAGE);
  const read: string[] = [];
  const objects: ObjectStore = {
    ...forward(memory),
    read: async (key, offset, into, inner) => {
      if (key.startsWith('packs/')) read.push(key);
      return await memory.read(key, offset, into, inner);
    },
  };
  const over = async (extent: Extent): Promise<WrittenBase> => {
    const change = { sizeBytes: before.byteLength, keptBytes: before.byteLength, extents: [extent] };
    const changed = bytes.subarray(0, extent.sizeBytes);
    const written = await store.write(async (writer) => {
      const base = await patched(must(writer.earlierBase('one'), 'it'), change, changed, run);
      // The entry has been found by now.
      read.length = 0;
      return base;
    }, objects);
    assert.equal(written.stored.newBytes, PAGE);
    return written;
  };
  await over({ offset: 4 * PAGE, sizeBytes: PAGE });
  assert.deepEqual(read, []);
  await over({ offset: 7 * PAGE + 10, sizeBytes: 20 });
  assert.notEqual(read.length, 0);
});

test('what keeps an earlier content from being read is what the base fails with', async () => {
  await using store = new Store(await RepositoryFixture.create());
  const { run, memory } = store.fixture;
  const before = createSeededRandom('damage').bytes(20 * PAGE);
  await store.write(async () => whole(before));
  const change = { sizeBytes: before.byteLength, keptBytes: before.byteLength, extents: [{ offset: 5, sizeBytes: 5 }] };
  const damagedBase = store.write(async (writer) => {
    const base = await patched(must(writer.earlierBase('one'), 'it'), change, before.subarray(0, 5), run);
    for await (const batch of memory.list('packs/', '', run)) {
      for (const { key } of batch) memory.put(key, Buffer.from(must(memory.get(key), 'a pack')).fill(0));
    }
    return {
      ...base,
      entries: (async function* () {
        yield* base.entries;
        throw new Error('it is asked for more although the one before was not read');
      })(),
    };
  });
  await assert.rejects(damagedBase, (error) => isTidemarkError(error, 'REPOSITORY_DAMAGED'));
});

test('without the reader’s key there is no base to make another one over', async () => {
  await using store = new Store(await RepositoryFixture.create());
  await store.write(async () => whole(Buffer.from('something')));
  const { fixture } = store;
  const { keyring: _keyring, ...access } = await fixture.writerAccess('host');
  await using writer = await fixture.openWriter({ writer: 'host', access });
  assert.equal(writer.earlierBase('one'), undefined);
  await using other = await fixture.openWriter({ writer: 'another' });
  assert.equal(other.earlierBase('one'), undefined, 'another writer’s chunks can’t be named');
  await using own = await fixture.openWriter({ writer: 'host' });
  assert.notEqual(own.earlierBase('one'), undefined);
});
