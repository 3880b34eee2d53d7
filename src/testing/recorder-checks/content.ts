import assert from 'node:assert/strict';
import { compareBytes, equalBytes } from '../../core/bytes.ts';
import { must } from '../../core/must.ts';
import type { Base, Content, Description, Entry } from '../../core/recorder.ts';
import type { Run } from '../../core/run.ts';
import { readContent } from '../tree/memory-base.ts';
import { editAtRandom, entriesOf, randomOf, textOf } from './check.ts';
import type { Model, RecorderCheck, RecorderCheckContext } from './check.ts';

const READ_SIZES = [1, 7, 4_096, 100_000];
const ROUNDS = 6;

type Read = {
  readonly fingerprint: Uint8Array | undefined;
  readonly attributes: Uint8Array;
  readonly bytes: Uint8Array;
};

async function readEntry(entry: Entry, run: Run): Promise<Read> {
  const { attributes, content } = entry.describe();
  const bytes = content === undefined ? new Uint8Array(0) : await readContent(content, run);
  return { fingerprint: entry.fingerprint, attributes, bytes };
}

async function readAll(base: Base, run: Run): Promise<ReadonlyMap<string, Read>> {
  const all = new Map<string, Read>();
  for await (const batch of base.entries) {
    for (const entry of batch) all.set(textOf(entry.name), await readEntry(entry, run));
  }
  await base.finish(run);
  return all;
}

async function describedEntries({ fixture, run }: RecorderCheckContext, check: Visit): Promise<void> {
  await using recorder = await fixture.open();
  await using base = await recorder.openBase(run);
  for await (const batch of base.entries) for (const entry of batch) await check(entry, entry.describe());
  await base.finish(run);
}

type Visit = (entry: Entry, description: Description) => Promise<void>;

async function describesAgain(context: RecorderCheckContext): Promise<void> {
  await editAtRandom(context, new Map(), { random: randomOf(context, 'describe'), count: 40 });
  await describedEntries(context, async (entry, first) => {
    const second = entry.describe();
    assert.ok(equalBytes(first.attributes, second.attributes), `${textOf(entry.name)} has the same attributes again`);
    assert.equal(second.content === undefined, first.content === undefined);
    if (first.content === undefined || second.content === undefined) return;
    if (context.traits.passesOnce === true) return void (await readContent(second.content, context.run));
    const [bytes, again] = [
      await readContent(first.content, context.run),
      await readContent(second.content, context.run),
    ];
    assert.ok(equalBytes(bytes, again), `${textOf(entry.name)} has the same content again`);
  });
}

async function readsInAnyPieces(context: RecorderCheckContext): Promise<void> {
  await editAtRandom(context, new Map(), { random: randomOf(context, 'pieces'), count: 30 });
  let visited = 0;
  await describedEntries(context, async (entry, { content }) => {
    if (content?.kind === 'file') assertFileIsSound(entry, content);
    if (content?.kind !== 'reader') return;
    if (context.traits.passesOnce === true) {
      const sizes = READ_SIZES.slice(entry.estimatedBytes > 500 ? 2 : 0);
      const sizeBytes = must(sizes[visited++ % sizes.length], 'a size');
      const pieces = await pull(content, sizeBytes, context.run);
      return assert.ok(pieces.byteLength > 0, `${textOf(entry.name)} has bytes`);
    }
    const whole = await readContent(content, context.run);
    for (const sizeBytes of READ_SIZES.slice(whole.byteLength > 20_000 ? 1 : 0)) {
      const pieces = await pull(content, sizeBytes, context.run);
      assert.ok(equalBytes(pieces, whole), `${textOf(entry.name)} in pieces of ${sizeBytes} bytes`);
    }
    const left = await content.open(context.run);
    await left.read(new Uint8Array(1));
    await left[Symbol.asyncDispose]();
  });
}

async function pull(content: Content & { readonly kind: 'reader' }, sizeBytes: number, run: Run): Promise<Uint8Array> {
  await using reader = await content.open(run);
  const pieces: Uint8Array[] = [];
  for (;;) {
    const into = new Uint8Array(sizeBytes + 2).fill(0x5a);
    const count = await reader.read(into.subarray(1, sizeBytes + 1));
    assert.ok(count >= 0 && count <= sizeBytes, 'no more than there is room for');
    assert.deepEqual([into[0], into[sizeBytes + 1]], [0x5a, 0x5a], 'nothing is written outside');
    if (count === 0) break;
    pieces.push(into.subarray(1, count + 1));
  }
  assert.equal(await reader.read(new Uint8Array(sizeBytes)), 0, 'the end stays the end');
  return Buffer.concat(pieces);
}

function assertFileIsSound({ name }: Entry, { path, state, extents }: Content & { readonly kind: 'file' }): void {
  assert.equal(path[0], 0x2f, `${textOf(name)} is at an absolute path`);
  assert.ok(!path.includes(0), `${textOf(name)} is at a path`);
  assert.ok(Number.isSafeInteger(state.sizeBytes) && state.sizeBytes > 0, `${textOf(name)} has bytes`);
  let end = 0;
  for (const run of extents ?? []) {
    assert.ok(run.offset >= end && run.sizeBytes > 0, `${textOf(name)} has runs in order`);
    end = run.offset + run.sizeBytes;
  }
  assert.ok(end <= state.sizeBytes, `${textOf(name)} has no run behind its end`);
}

/**
 * A repository takes attributes and content of the last base where the fingerprint is the same: a fingerprint that survives a change is data
 * lost.
 */
async function printsTellChanges(context: RecorderCheckContext): Promise<void> {
  const { fixture, run } = context;
  const random = randomOf(context, 'prints');
  const model: Model = new Map();
  let last: ReadonlyMap<string, Read> = new Map();
  for (let round = 0; round < ROUNDS; round++) {
    await editAtRandom(context, model, { random, count: 15 });
    if (random.chance(0.3)) await fixture.settle?.();
    await using recorder = await fixture.open();
    await using base = await recorder.openBase(run);
    const now = await readAll(base, run);
    for (const [name, read] of now) assertSameIfPrinted(name, last.get(name), read);
    last = now;
  }
}

function assertSameIfPrinted(name: string, last: Read | undefined, now: Read): void {
  if (last?.fingerprint === undefined || now.fingerprint === undefined) return;
  if (!equalBytes(last.fingerprint, now.fingerprint)) return;
  assert.ok(equalBytes(last.attributes, now.attributes), `the attributes of ${name} are those of its fingerprint`);
  assert.ok(equalBytes(last.bytes, now.bytes), `the content of ${name} is that of its fingerprint`);
}

async function recognizes(context: RecorderCheckContext): Promise<void> {
  const { fixture, traits, run } = context;
  await editAtRandom(context, new Map(), { random: randomOf(context, 'unchanged'), count: 40 });
  await fixture.settle?.();
  const prints = async (): Promise<readonly (readonly [string, Uint8Array | undefined])[]> => {
    await using recorder = await fixture.open();
    await using base = await recorder.openBase(run);
    const entries = await entriesOf(base, context);
    await base.finish(run);
    return entries.map(({ name, fingerprint }) => [textOf(name), fingerprint] as const);
  };
  const [first, second] = [await prints(), new Map(await prints())];
  for (const [name, print] of first) {
    if (!traits.recognizes) assert.equal(print, undefined, `${name} has no fingerprint, as it was registered`);
    else assert.equal(compareBytes(must(print, name), must(second.get(name), name)), 0, `${name} is recognized`);
  }
}

export const contentChecks: readonly RecorderCheck[] = [
  { title: 'an entry that is described twice is the same', verify: describesAgain },
  { title: 'a content is the same bytes in whatever pieces it is read', verify: readsInAnyPieces },
  { title: 'what changed never has the fingerprint that it had', verify: printsTellChanges },
  { title: 'what did not change is recognized, where that is claimed', verify: recognizes },
];
