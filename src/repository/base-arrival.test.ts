import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readerOf } from '../core/byte-reader.ts';
import { must } from '../core/must.ts';
import type { Base, Entry } from '../core/recorder.ts';
import { createSeededRandom } from '../flow/random.ts';
import { baseOf, RepositoryFixture } from '../testing/repository-fixture.ts';
import type { FixtureStore } from '../testing/repository-fixture.ts';
import type { StoredBase } from './base-writer.ts';

const NAMES = 400;

function storeOf(seed: string): FixtureStore {
  const random = createSeededRandom(seed);
  const names = Array.from({ length: NAMES }, (_, index) => `${index % 7}/${(index * 31) % NAMES}`);
  return new Map(
    names.map((name, index) => {
      const content = index % 5 === 0 ? undefined : random.bytes(index === 7 ? 300_000 : index * 20);
      return [name, { attributes: Buffer.from(`of ${name}`), content }];
    }),
  );
}

/** As a tar that is read from a socket: what comes next is known only when all before it was read. */
function arriving(store: FixtureStore): Base {
  let isRead = true;
  const entry = (name: string): Entry => {
    const { attributes, content } = must(store.get(name), 'an entry of the store');
    if (content === undefined) return { name: Buffer.from(name), estimatedBytes: 0, describe: () => ({ attributes }) };
    isRead = false;
    const reader = readerOf(content);
    const open = async (): Promise<typeof reader> => ({
      ...reader,
      read: async (into) => {
        const size = await reader.read(into);
        isRead ||= size === 0;
        return size;
      },
    });
    const describe: Entry['describe'] = () => ({ attributes, content: { cut: 'pages', kind: 'reader', open } });
    return { name: Buffer.from(name), estimatedBytes: content.byteLength, describe };
  };
  return {
    ...baseOf(new Map(), 1),
    order: 'arrival',
    entries: (async function* () {
      for (const name of store.keys()) {
        assert.ok(isRead, `${name} is asked for when the one before it has been read to its end`);
        yield [entry(name)];
      }
    })(),
  };
}

async function stored(base: Base): Promise<StoredBase & { readonly names: readonly string[] }> {
  await using fixture = await RepositoryFixture.create();
  await using writer = await fixture.openWriter({ writer: 'host' });
  const told: { readonly foundAll: boolean }[] = [];
  const about = { store: 'one', history: 'one', exact: 'position', connector: 'test', url: 'test:one' } as const;
  const written = await writer.writeBase(
    {
      ...about,
      base,
      manifest: 'application: test\n',
      allowEmpty: true,
      onProgress: (progress) => told.push(progress),
    },
    fixture.run,
  );
  await writer.end(fixture.run);
  assert.equal(told.at(-1)?.foundAll, true);
  await using reader = await fixture.openReader();
  const record = must(reader.catalogue.bases.get(written.key), 'the base');
  const batches = await Array.fromAsync((await reader.base(record, fixture.run)).entries(fixture.run));
  return { ...written.stored, names: batches.flat().map(({ name }) => Buffer.from(name).toString()) };
}

test('a base whose entries come in any order is stored as one whose come by name, each read to its end before the next', async () => {
  const store = storeOf('arrival');
  const found = await stored(arriving(store));
  const names = [...store.keys()].toSorted((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
  assert.deepEqual(found.names, names);
  assert.equal(found.entries, NAMES);
  const ordered = await stored({
    ...arriving(new Map(names.map((name) => [name, must(store.get(name), 'it')]))),
    order: 'arrival',
  });
  assert.deepEqual(found.root, ordered.root, 'the order of arrival leaves no trace');
});
