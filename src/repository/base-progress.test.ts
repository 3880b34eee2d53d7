import assert from 'node:assert/strict';
import { test } from 'node:test';
import { must } from '../core/must.ts';
import type { Base, Entry } from '../core/recorder.ts';
import { baseOf, RepositoryFixture } from '../testing/repository-fixture.ts';
import type { BaseProgress } from './base-writer.ts';

const MIB = 1024 * 1024;
const BIG_BYTES = 24 * MIB;

async function progressOf(fixture: RepositoryFixture, base: Base): Promise<readonly BaseProgress[]> {
  await using writer = await fixture.openWriter({ writer: 'host' });
  const told: BaseProgress[] = [];
  await writer.writeBase(
    {
      store: 'one',
      history: 'one',
      exact: 'position',
      connector: 'test',
      url: 'test:one',
      base,
      manifest: 'application: test\n',
      allowEmpty: true,
      onProgress: (progress) => told.push(progress),
    },
    fixture.run,
  );
  await writer.end(fixture.run);
  return told;
}

function contents(): Base {
  const attributes = new Uint8Array(1);
  return baseOf(
    new Map([
      ['big', { attributes, content: Buffer.alloc(BIG_BYTES, Buffer.from('some text that comes again')) }],
      ['small', { attributes, content: Buffer.from('small') }],
    ]),
    1,
  );
}

/** The same, but the first reader of every content ends with an error. */
function brokenOnce(base: Base): Base {
  const fail = (entry: Entry): Entry => {
    const description = entry.describe();
    const { content } = description;
    if (content?.kind !== 'reader') return entry;
    const open: typeof content.open = async (run) => {
      const reader = await content.open(run);
      return {
        read: async (into) => (await reader.read(into)) || Promise.reject(new Error('broken')),
        [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose](),
      };
    };
    return { ...entry, describe: () => ({ ...description, content: { ...content, open } }) };
  };
  const whole = new Map<string, Entry>();
  return {
    entries: (async function* () {
      for await (const batch of base.entries) {
        for (const entry of batch) whole.set(Buffer.from(entry.name).toString(), entry);
        yield batch.map(fail);
      }
    })(),
    retry: async ({ name }) => must(whole.get(Buffer.from(name).toString()), 'an entry'),
    finish: (run) => base.finish(run),
    [Symbol.asyncDispose]: () => base[Symbol.asyncDispose](),
  };
}

test('progress moves within a large content, whether it is new or not, and ends at what was stored', async () => {
  await using fixture = await RepositoryFixture.create();
  for (const name of ['new', 'known', 'broken once']) {
    const base = contents();
    const told = await progressOf(fixture, name === 'broken once' ? brokenOnce(base) : base);
    const within = new Set(told.map(({ bytes }) => bytes).filter((bytes) => bytes > 0 && bytes < BIG_BYTES));
    assert.ok(within.size >= 3, `${name}: ${[...within].join()}`);
    const last = must(told.at(-1), 'a report');
    assert.deepEqual([last.entries, last.bytes], [2, BIG_BYTES + 5], name);
    assert.ok(
      told.every(({ bytes }) => bytes <= 2 * BIG_BYTES && bytes >= 0),
      name,
    );
  }
});

test('how much there is to read is known while the last entries are read', async () => {
  await using fixture = await RepositoryFixture.create();
  const [first] = await progressOf(fixture, contents());
  assert.deepEqual(
    [first?.foundAll, first?.foundEntries, first?.foundBytes, first?.entries],
    [true, 2, BIG_BYTES + 5, 0],
  );
});
