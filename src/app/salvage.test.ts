import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TidemarkError } from '../core/errors.ts';
import type { BaseReader, Restorer, StoredEntry } from '../core/restorer.ts';
import type { Run } from '../core/run.ts';
import { memoryContent, memoryReader } from '../testing/tree/memory-base.ts';
import { restoreWhole } from './salvage.ts';
import type { EntryDecoder } from './salvage.ts';

const run: Run = { signal: new AbortController().signal };

function entry(name: string, attributes = 'good', content = name): StoredEntry {
  return { name: Buffer.from(name), attributes: Buffer.from(attributes), content: memoryContent(Buffer.from(content)) };
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

/** Attributes that say `bad` can't be decoded; in the place of a folder there has to be something. */
const decoder: EntryDecoder = {
  checkEntry({ attributes }) {
    if (textOf(attributes) === 'bad') throw new TidemarkError('REPOSITORY_DAMAGED', 'it says bad');
  },
  standIn: async (_, name) => (textOf(name) === 'folder' ? { name, attributes: Buffer.from('instead') } : undefined),
};

/** Of contents that say `broken` nothing can be read. */
function reader(entries: readonly StoredEntry[]): BaseReader {
  const base = memoryReader(entries);
  return {
    ...base,
    async *read(content, inner) {
      for await (const piece of base.read(content, inner)) {
        if (textOf(piece) === 'broken') throw new TidemarkError('REPOSITORY_DAMAGED', 'it is broken');
        yield piece;
      }
    },
  };
}

function restorerBy(restore: (base: BaseReader) => Promise<void>): Restorer {
  return {
    async restoreBase(base) {
      await restore(base);
      return { entries: 0, bytes: 0, reusedBytes: 0, notes: [], noteCount: 0 };
    },
    verify: async () => ({ entries: 0, bytes: 0 }),
    swap: async () => ({}),
    async [Symbol.asyncDispose]() {},
  };
}

test('what can’t be decoded is left out at once, or something stands in for it, also when contents turn out to be damaged', async () => {
  const rounds: string[][] = [];
  const restorer = restorerBy(async (base) => {
    const told: string[] = [];
    rounds.push(told);
    for await (const batch of base.entries(run)) {
      for (const { name, attributes, content } of batch) {
        const pieces = content === undefined ? [] : await Array.fromAsync(base.read(content, run));
        told.push([name, attributes, ...pieces].map(textOf).join(' '));
      }
    }
  });
  const entries = [entry('a'), entry('b', 'bad'), entry('c', 'good', 'broken'), entry('folder', 'bad'), entry('z')];
  const { damaged } = await restoreWhole(restorer, reader(entries), decoder, run);
  assert.deepEqual(rounds, [['a good a'], ['a good a', 'folder instead', 'z good z']]);
  assert.deepEqual(new Set(damaged.map(textOf)), new Set(['b', 'c', 'folder']));
});

test('an entry that is looked for and can’t be decoded is not found, or what stands in for it is', async () => {
  const found: (string | undefined)[] = [];
  const restorer = restorerBy(async (base) => {
    for (const name of ['a', 'b', 'folder']) {
      const one = await base.find(Buffer.from(name), run);
      found.push(one && textOf(one.attributes));
    }
  });
  const entries = [entry('a'), entry('b', 'bad'), entry('folder', 'bad')];
  const { damaged } = await restoreWhole(restorer, reader(entries), decoder, run);
  assert.deepEqual(found, ['good', undefined, 'instead']);
  assert.deepEqual(damaged.map(textOf), ['b', 'folder']);
});

test('where all that is meant can’t be decoded, nothing is there', async () => {
  let batches = 0;
  const restorer = restorerBy(async (base) => {
    for await (const _ of base.entries(run)) batches++;
  });
  await restoreWhole(restorer, reader([entry('a', 'bad')]), decoder, run);
  assert.equal(batches, 0);
});

test('what a restore fails with for another reason than damage is thrown', async () => {
  const failure = new TidemarkError('DISK_FULL', 'it is full');
  const restorer = restorerBy(async (base) => {
    for await (const _ of base.entries(run));
    throw failure;
  });
  await assert.rejects(restoreWhole(restorer, reader([entry('a', 'bad')]), decoder, run), (error) => error === failure);
});
