import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  lstatSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { isTidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import type { Run } from '../core/run.ts';
import { createSeededRandom } from '../flow/random.ts';
import type { SeededRandom } from '../flow/random.ts';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import type { TemporaryFolder } from '../testing/tree/temporary-folder.ts';
import { openSpool } from './spool.ts';
import type { Spool, SpoolOptions } from './spool.ts';
import type { SpoolEntry, SpoolRecord } from './spool-record.ts';

const run: Run = { signal: new AbortController().signal };
const { bytes: random } = createSeededRandom('spool');

function open(folder: TemporaryFolder, options: Partial<SpoolOptions> = {}): Promise<Spool> {
  return openSpool({ folder: folder.at('spool'), maxBytes: 2 ** 30, random, ...options }, run);
}

function entry(label: string, ...body: readonly string[]): SpoolEntry {
  return { label: Buffer.from(label), body: body.map((part) => Buffer.from(part)) };
}

function written({ sequence, label, body }: SpoolRecord): string {
  return `${sequence} ${Buffer.from(label).toString('latin1')}: ${Buffer.from(body).toString('latin1')}`;
}

async function readWhole(spool: Spool, after?: number, records: string[] = []): Promise<readonly string[]> {
  for await (const batch of spool.read(after, run)) records.push(...batch.map(written));
  return records;
}

/** What was read, and the error that ended it. */
async function readAll(spool: Spool): Promise<{ readonly records: readonly string[]; readonly error: unknown }> {
  const records: string[] = [];
  try {
    await readWhole(spool, undefined, records);
  } catch (error) {
    return { records, error };
  }
  return { records, error: undefined };
}

/** The paths of a spool's files, in order. */
function filesOf(folder: TemporaryFolder): readonly string[] {
  return readdirSync(folder.at('spool'))
    .toSorted()
    .map((name) => folder.at('spool', name));
}

function lastFile(folder: TemporaryFolder): string {
  return must(filesOf(folder).at(-1), 'a file of the spool');
}

function flip(path: string, offset: number): void {
  const bytes = readFileSync(path);
  bytes[offset] = (bytes[offset] ?? 0) ^ 0x10;
  writeFileSync(path, bytes);
}

test('records come out as they were put in, numbered from 1, and are only for this user', async () => {
  await using folder = temporaryFolder();
  {
    await using spool = await open(folder);
    assert.deepEqual([spool.lastSequence, spool.sizeBytes], [0, 0]);
    assert.deepEqual(await readWhole(spool), []);
    assert.equal(await spool.append([entry('a', 'one', '', 'two'), entry('', '')], run), 2);
    assert.equal(await spool.append([entry('c')], run), 3);
    assert.deepEqual(await readWhole(spool), ['1 a: onetwo', '2 : ', '3 c: ']);
    assert.deepEqual(await readWhole(spool, 2), ['3 c: ']);
    assert.deepEqual(await readWhole(spool, 3), []);
    assert.equal(spool.sizeBytes, statSync(lastFile(folder)).size);
  }
  await using again = await open(folder);
  assert.equal(again.lastSequence, 3);
  assert.deepEqual(await readWhole(again, 1), ['2 : ', '3 c: ']);
  assert.equal(lstatSync(folder.at('spool')).mode & 0o777, 0o700);
  assert.equal(lstatSync(lastFile(folder)).mode & 0o777, 0o600);
});

test('what else lies in the folder is left alone', async () => {
  await using folder = temporaryFolder();
  await (await open(folder))[Symbol.asyncDispose]();
  writeFileSync(folder.at('spool', 'lock'), 'x');
  await using spool = await open(folder);
  await spool.append([entry('a')], run);
  assert.deepEqual(await readWhole(spool), ['1 a: ']);
  assert.equal(readFileSync(folder.at('spool', 'lock'), 'utf8'), 'x');
});

test('a batch is at most 1 MiB, or a single record', async () => {
  await using folder = temporaryFolder();
  await using spool = await open(folder, { fileBytes: 4_000_000 });
  const sizes = [10, 400_000, 400_000, 400_000, 3_000_000, 10, 1_048_576 - 24, 5_000_000, 0, 0];
  const entries = sizes.map((sizeBytes) => ({ label: new Uint8Array(), body: [random(sizeBytes)] }));
  await spool.append(entries.slice(0, 4), run);
  for (const one of entries.slice(4)) await spool.append([one], run);
  const batches: (readonly SpoolRecord[])[] = [];
  for await (const batch of spool.read(undefined, run)) batches.push(batch);
  assert.deepEqual(
    batches.map((batch) => batch.map(({ body }) => body.byteLength)),
    [[10, 400_000, 400_000], [400_000], [3_000_000], [10], [1_048_576 - 24], [5_000_000], [0, 0]],
  );
  for (const [index, { body, sequence }] of batches.flat().entries()) {
    assert.equal(sequence, index + 1);
    assert.deepEqual(Buffer.from(body), Buffer.from(must(entries[index]?.body[0], 'a body')));
  }
});

test('a full file is followed by another, and released files are deleted', async () => {
  await using folder = temporaryFolder();
  const options = { fileBytes: 1000 };
  {
    await using spool = await open(folder, options);
    for (let count = 0; count < 20; count += 1) await spool.append([entry('x', 'y'.repeat(275))], run);
    assert.equal(filesOf(folder).length, 7);
    assert.equal(spool.sizeBytes, 20 * 300);
    await spool.release(5, run);
    assert.equal(filesOf(folder).length, 6);
    assert.equal((await readWhole(spool))[0]?.slice(0, 4), '6 x:');
    assert.equal((await readWhole(spool, 2))[0]?.slice(0, 4), '6 x:');
    await spool.release(3, run);
    assert.equal((await readWhole(spool)).length, 15);
  }
  await using again = await open(folder, options);
  assert.deepEqual([again.lastSequence, again.sizeBytes], [20, 17 * 300]);
  // To a file's granularity: 4 and 5 come again.
  assert.equal((await readWhole(again))[0]?.slice(0, 4), '4 x:');
  await again.release(20, run);
  assert.deepEqual(await readWhole(again), []);
  assert.equal(filesOf(folder).length, 1);
  assert.equal(await again.append([entry('next')], run), 21);
  await assert.rejects(again.release(22, run), { name: 'BugError' });
});

type Step =
  | { readonly kind: 'append'; readonly sizes: readonly (readonly number[])[] }
  | { readonly kind: 'release' | 'read'; readonly share: number }
  | { readonly kind: 'reopen' };

test('over any appends, releases and restarts it reads what a list would hold', async () => {
  const share = fc.double({ min: 0, max: 1, noNaN: true });
  const record = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.constantFrom(3000, 70_000));
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({
      kind: fc.constant('append' as const),
      sizes: fc.array(fc.array(record, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 }),
    }),
    fc.record({ kind: fc.constantFrom('release' as const, 'read' as const), share }),
    fc.constant({ kind: 'reopen' as const }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 30 }),
      fc.integer({ min: 100, max: 5000 }),
      async (steps, fileBytes) => {
        await using folder = temporaryFolder();
        let spool = await open(folder, { fileBytes });
        const model: string[] = [];
        let released = 0;
        for (const one of steps) {
          if (one.kind === 'append') {
            const lasts = one.sizes.map((sizes) => {
              const entries = sizes.map((size) => entry(`${size}`, 'p'.repeat(size % 7), 'q'.repeat(size)));
              for (const { label, body } of entries) {
                model.push(written({ sequence: model.length + 1, label, body: Buffer.concat(body) }));
              }
              return { promise: spool.append(entries, run), last: model.length };
            });
            for (const { promise, last } of lasts) assert.equal(await promise, last);
          } else if (one.kind === 'reopen') {
            await spool[Symbol.asyncDispose]();
            spool = await open(folder, { fileBytes });
            const first = (await readWhole(spool))[0];
            const before = released;
            released = first === undefined ? model.length : Number(first.split(' ')[0]) - 1;
            assert.ok(released <= before, 'nothing is missing');
          } else {
            const upTo = Math.floor(one.share * (model.length + 0.999));
            if (one.kind === 'release') {
              await spool.release(upTo, run);
              released = Math.max(released, upTo);
            } else assert.deepEqual(await readWhole(spool, upTo), model.slice(Math.max(upTo, released)));
          }
          assert.equal(spool.lastSequence, model.length);
          assert.deepEqual(await readWhole(spool), model.slice(released));
          assert.equal(
            spool.sizeBytes,
            filesOf(folder).reduce((sum, path) => sum + statSync(path).size, 0),
          );
        }
        await spool[Symbol.asyncDispose]();
      },
    ),
    { numRuns: 40 },
  );
});

test('a record that was being written when the machine stopped is dropped, wherever it ends', async () => {
  await using folder = temporaryFolder();
  {
    await using spool = await open(folder);
    await spool.append([entry('first', 'kept')], run);
    await spool.append([entry('second', 'kept'), entry('torn', 'body of it')], run);
  }
  const path = lastFile(folder);
  const whole = readFileSync(path);
  const tornBytes = 24 + 4 + 10;
  for (let cut = 1; cut <= tornBytes; cut += 1) {
    for (const rest of [Buffer.alloc(0), Buffer.alloc(cut)]) {
      writeFileSync(path, Buffer.concat([whole.subarray(0, whole.byteLength - cut), rest]));
      await using spool = await open(folder);
      assert.deepEqual([spool.lastSequence, statSync(path).size], [2, whole.byteLength - tornBytes]);
      assert.equal(await spool.append([entry('third', 'new')], run), 3);
      assert.deepEqual(await readWhole(spool), ['1 first: kept', '2 second: kept', '3 third: new']);
    }
  }
});

/** What a power cut may leave of bytes that were written and not flushed: any of their sectors, and any length. */
function powerCut(path: string, flushedBytes: number, rng: SeededRandom): void {
  const bytes = readFileSync(path);
  for (let at = flushedBytes; at < bytes.byteLength; at = (Math.floor(at / 512) + 1) * 512) {
    const end = Math.min((Math.floor(at / 512) + 1) * 512, bytes.byteLength);
    if (rng.chance(0.5)) bytes.fill(rng.chance(0.5) ? 0 : 0xa5, at, end);
  }
  const keepAll = rng.chance(0.5);
  const size = keepAll ? bytes.byteLength : flushedBytes + rng.integer(bytes.byteLength - flushedBytes + 1);
  writeFileSync(path, bytes.subarray(0, size));
}

test('after a power cut amid a flush there is all that was confirmed, and of the rest a beginning', async (t) => {
  const seed = randomInt(2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const rng = createSeededRandom(seed);
  await using folder = temporaryFolder();
  const entriesOf = (count: number): SpoolEntry[] =>
    Array.from({ length: count }, () => ({ label: rng.bytes(3), body: [rng.bytes(rng.integer(900))] }));
  let confirmed: readonly string[] = [];
  for (let round = 0; round < 60; round += 1) {
    let flushedBytes = 0;
    let unconfirmed: readonly string[];
    {
      await using spool = await open(folder);
      await spool.append(entriesOf(1 + rng.integer(4)), run);
      confirmed = await readWhole(spool);
      flushedBytes = statSync(lastFile(folder)).size;
      await spool.append(entriesOf(1 + rng.integer(8)), run);
      unconfirmed = (await readWhole(spool)).slice(confirmed.length);
    }
    powerCut(lastFile(folder), flushedBytes, rng);
    await using spool = await open(folder);
    const found = await readWhole(spool);
    assert.deepEqual(found.slice(0, confirmed.length), confirmed);
    assert.deepEqual(found.slice(confirmed.length), unconfirmed.slice(0, found.length - confirmed.length));
    assert.equal(spool.lastSequence, found.length);
  }
});

test('a changed byte amid what was confirmed ends the reading there, by name, and numbers go on behind it', async () => {
  await using folder = temporaryFolder();
  {
    await using spool = await open(folder);
    for (const label of ['a', 'b', 'c', 'd']) await spool.append([entry(label, 'body')], run);
  }
  const path = lastFile(folder);
  const whole = readFileSync(path);
  const recordBytes = whole.byteLength / 4;
  for (let offset = recordBytes; offset < 2 * recordBytes; offset += 1) {
    writeFileSync(path, whole);
    flip(path, offset);
    await using copy = temporaryFolder();
    cpSync(folder.at('spool'), copy.at('spool'), { recursive: true });
    for (const last of [5, 6]) {
      await using spool = await open(copy);
      assert.equal(await spool.append([entry('new')], run), last);
      const { records, error } = await readAll(spool);
      assert.deepEqual(records, ['1 a: body']);
      assert.ok(isTidemarkError(error, 'POSITION_LOST'), String(error));
      const damaged = must(filesOf(copy)[0], 'the first file');
      assert.ok(error.message.includes(`${damaged} is damaged at byte ${recordBytes}`), error.message);
    }
    await using spool = await open(copy);
    assert.deepEqual(await readWhole(spool, 4), ['5 new: ', '6 new: ']);
    await spool.release(4, run);
    assert.deepEqual(await readWhole(spool), ['5 new: ', '6 new: ']);
    assert.equal(filesOf(copy).length, 1);
  }
});

test('damage and loss in a file that is followed by others are found when it is read', async () => {
  const changes: readonly ((path: string) => void)[] = [
    (path) => flip(path, 30),
    (path) => truncateSync(path, statSync(path).size - 1),
    (path) => truncateSync(path, 0),
  ];
  for (const change of changes) {
    await using folder = temporaryFolder();
    {
      await using spool = await open(folder, { fileBytes: 100 });
      for (let count = 0; count < 9; count += 1) await spool.append([entry('x', 'y'.repeat(24))], run);
    }
    change(must(filesOf(folder)[1], 'a second file'));
    await using spool = await open(folder, { fileBytes: 100 });
    assert.equal(spool.lastSequence, 9);
    const { records, error } = await readAll(spool);
    assert.ok(records.length >= 2 && records.length < 4, `${records.length} before it`);
    assert.ok(isTidemarkError(error, 'POSITION_LOST'), String(error));
    assert.match(error.message, /is damaged at byte \d+, in record [34]$/);
  }
});

test('what is appended after damage was found goes to another file, and can be read', async () => {
  await using folder = temporaryFolder();
  await using spool = await open(folder);
  await spool.append([entry('a', 'body')], run);
  await spool.append([entry('b', 'body')], run);
  flip(lastFile(folder), 30);
  assert.ok(isTidemarkError((await readAll(spool)).error, 'POSITION_LOST'));
  assert.equal(await spool.append([entry('c')], run), 3);
  assert.deepEqual(await readWhole(spool, 2), ['3 c: ']);
  assert.equal(filesOf(folder).length, 2);
});

test('another spool’s bytes inside of a torn record are not taken for records behind it', async () => {
  await using inner = temporaryFolder();
  await using folder = temporaryFolder();
  {
    await using spool = await open(inner);
    for (let count = 0; count < 20; count += 1) await spool.append([entry('inner')], run);
  }
  {
    await using spool = await open(folder);
    await spool.append([entry('outer')], run);
    await spool.append([{ label: Buffer.from('torn'), body: [readFileSync(lastFile(inner)), Buffer.alloc(99)] }], run);
  }
  truncateSync(lastFile(folder), statSync(lastFile(folder)).size - 1);
  await using spool = await open(folder);
  assert.equal(await spool.append([entry('next')], run), 2);
  assert.deepEqual(await readWhole(spool), ['1 outer: ', '2 next: ']);
});

test('at the bound appends are refused as a whole, until something is released', async () => {
  await using folder = temporaryFolder();
  await using spool = await open(folder, { maxBytes: 1000, fileBytes: 100 });
  const one = entry('l', 'x'.repeat(75));
  const full = { code: 'SPOOL_FULL', disposition: 'retry' };
  const waiting = Array.from({ length: 9 }, () => spool.append([one], run));
  // Those that wait to be written count, too.
  await assert.rejects(spool.append([one, one], run), full);
  await Promise.all(waiting);
  await spool.append([one], run);
  assert.deepEqual([spool.sizeBytes, spool.lastSequence], [1000, 10]);
  await assert.rejects(spool.append([entry('')], run), full);
  await spool.release(2, run);
  await spool.append([one, one], run);
  await assert.rejects(spool.append([one], run), full);
  assert.deepEqual([spool.sizeBytes, spool.lastSequence], [1000, 12]);
  assert.equal((await readWhole(spool)).length, 10);
});

test('what is released counts as long as the file that holds it is written to', async () => {
  await using folder = temporaryFolder();
  await using spool = await open(folder, { maxBytes: 1000, fileBytes: 500 });
  await spool.append([entry('', 'x'.repeat(376))], run);
  await spool.release(1, run);
  const waiting = spool.append([entry('', 'x'.repeat(76))], run);
  await assert.rejects(spool.append([entry('', 'x'.repeat(576))], run), { code: 'SPOOL_FULL' });
  await waiting;
  await spool.append([entry('', 'x'.repeat(476))], run);
  assert.equal(spool.sizeBytes, 1000);
});

test('once all is released there is room for all that may wait at all, also beside a last file that is full', async () => {
  await using folder = temporaryFolder();
  await using spool = await open(folder, { maxBytes: 1000, fileBytes: 200 });
  for (let count = 0; count < 4; count += 1) {
    await spool.append([entry('l', 'x'.repeat(975))], run);
    await assert.rejects(spool.append([entry('')], run), { code: 'SPOOL_FULL', disposition: 'retry' });
    await spool.release(spool.lastSequence, run);
  }
  await assert.rejects(spool.append([entry('l', 'x'.repeat(976))], run), { code: 'SPOOL_FULL', disposition: 'stop' });
  assert.equal(filesOf(folder).length, 1);
});

/** What every open file inherits from, to make its calls fail. */
type FileMethods = {
  datasync(): Promise<void>;
  truncate(sizeBytes: number): Promise<void>;
  writev(pieces: readonly Uint8Array[], offset: number): Promise<{ bytesWritten: number }>;
};

async function fileMethods(folder: TemporaryFolder): Promise<FileMethods> {
  const { open: openFile } = await import('node:fs/promises');
  await using file = await openFile(folder.at('methods'), 'w');
  // All open files share one prototype, and these are among its methods.
  return Object.getPrototypeOf(file) as FileMethods;
}

function systemFailure(code: string): Error {
  return Object.assign(new Error(`${code}: made for a test`), { code });
}

test('appends that wait together share a flush, and come in the order of their calls', async (t) => {
  await using folder = temporaryFolder();
  await using spool = await open(folder);
  const flushes = t.mock.method(await fileMethods(folder), 'datasync');
  const ends: number[] = [];
  const appends = Array.from({ length: 100 }, async (_, index) => {
    const last = await spool.append([entry(`${index}`), entry(`and ${index}`)], run);
    ends.push(index);
    return last;
  });
  assert.deepEqual(
    await Promise.all(appends),
    Array.from({ length: 100 }, (_, index) => 2 * index + 2),
  );
  assert.deepEqual(ends, [...ends.keys()]);
  assert.equal(flushes.mock.callCount(), 2);
  assert.deepEqual(
    await readWhole(spool),
    Array.from({ length: 200 }, (_, index) => `${index + 1} ${index % 2 === 0 ? '' : 'and '}${index >> 1}: `),
  );
});

test('what one flush takes is bounded by the size of a file', async (t) => {
  await using folder = temporaryFolder();
  await using spool = await open(folder, { fileBytes: 1000 });
  const flushes = t.mock.method(await fileMethods(folder), 'datasync');
  await Promise.all(Array.from({ length: 21 }, () => spool.append([entry('x', 'y'.repeat(75))], run)));
  assert.equal(flushes.mock.callCount(), 3);
  assert.ok(filesOf(folder).every((path) => statSync(path).size <= 1000));
});

test('a file whose flush failed is not written to again, and only what was confirmed is read from it', async (t) => {
  for (const code of ['EIO', 'ENOSPC']) {
    for (const cut of [true, false]) {
      await using folder = temporaryFolder();
      const methods = await fileMethods(folder);
      const expected = ['1 a: ', '2 d: ', '3 e: '];
      {
        await using spool = await open(folder);
        await spool.append([entry('a')], run);
        const [confirmedBytes, before] = [spool.sizeBytes, lastFile(folder)];
        const flush = t.mock.method(methods, 'datasync', () => Promise.reject(systemFailure(code)));
        const truncate = cut
          ? undefined
          : t.mock.method(methods, 'truncate', () => Promise.reject(systemFailure('EIO')));
        const failed = await Promise.allSettled([spool.append([entry('b')], run), spool.append([entry('c')], run)]);
        for (const outcome of failed) {
          assert.ok(outcome.status === 'rejected');
          assert.ok(isTidemarkError(outcome.reason, code === 'EIO' ? 'FAILED' : 'DISK_FULL'), String(outcome.reason));
        }
        // Both, though the second has not been tried: it must not be there without the first.
        assert.equal(flush.mock.callCount(), 1);
        flush.mock.restore();
        truncate?.mock.restore();
        assert.deepEqual([spool.lastSequence, spool.sizeBytes], [1, confirmedBytes]);
        assert.equal(statSync(before).size, cut ? confirmedBytes : 2 * confirmedBytes);
        assert.deepEqual(await readWhole(spool), ['1 a: ']);
        assert.equal(await spool.append([entry('d')], run), 2);
        assert.deepEqual(await readWhole(spool), expected.slice(0, 2));
        assert.equal(filesOf(folder).length, 2);
      }
      await using again = await open(folder);
      assert.equal(await again.append([entry('e')], run), 3);
      assert.deepEqual(await readWhole(again), expected);
    }
  }
});

test('a write that ends half way leaves whole records only, and the same file is gone on with', async (t) => {
  await using folder = temporaryFolder();
  const methods = await fileMethods(folder);
  await using spool = await open(folder);
  await spool.append([entry('a', 'one')], run);
  const before = spool.sizeBytes;
  const write = Reflect.get(methods, 'writev');
  let calls = 0;
  const full = t.mock.method(
    methods,
    'writev',
    async function partly(this: FileMethods, ...[pieces, offset]: Parameters<FileMethods['writev']>) {
      calls += 1;
      if (calls > 1) throw systemFailure('EDQUOT');
      return await write.call(this, [must(pieces[0], 'a piece').subarray(0, 7)], offset);
    },
  );
  await assert.rejects(spool.append([entry('b', 'two')], run), { code: 'DISK_FULL' });
  full.mock.restore();
  assert.equal(statSync(lastFile(folder)).size, before);
  await spool.append([entry('c', 'three')], run);
  assert.deepEqual(await readWhole(spool), ['1 a: one', '2 c: three']);
  assert.equal(filesOf(folder).length, 1);
});

test('a disk that takes a few bytes at a time gets all of them', async (t) => {
  await using folder = temporaryFolder();
  const methods = await fileMethods(folder);
  await using spool = await open(folder);
  const write = Reflect.get(methods, 'writev');
  t.mock.method(
    methods,
    'writev',
    async function slowly(this: FileMethods, ...[pieces, offset]: Parameters<FileMethods['writev']>) {
      const first = must(pieces[0], 'a piece');
      const some = first.byteLength > 5 ? [first.subarray(0, 5)] : pieces.slice(0, 2);
      return await write.call(this, some, offset);
    },
  );
  await spool.append([entry('a', 'one', 'two', 'three and more'), entry('b')], run);
  assert.deepEqual(await readWhole(spool), ['1 a: onetwothree and more', '2 b: ']);
});

test('an append that still waits ends with the signal’s reason, and nothing of it is written', async () => {
  await using folder = temporaryFolder();
  await using spool = await open(folder);
  const controller = new AbortController();
  const reason = new Error('enough');
  const first = spool.append([entry('a')], controller);
  const second = spool.append([entry('b')], controller);
  const third = spool.append([entry('c')], run);
  controller.abort(reason);
  await assert.rejects(second, reason);
  assert.deepEqual([await first, await third], [1, 2]);
  await assert.rejects(spool.append([entry('d')], controller), reason);
  assert.deepEqual(await readWhole(spool), ['1 a: ', '2 c: ']);
  await assert.rejects(async () => {
    for await (const _ of spool.read(undefined, controller)) assert.fail('nothing is read');
  }, reason);
});

test('one reads on while others append and release, each record once and in order', async () => {
  await using folder = temporaryFolder();
  await using spool = await open(folder, { fileBytes: 2000 });
  const total = 600;
  const appendAll = async (): Promise<void> => {
    for (let count = 0; count < total; count += 3) {
      await spool.append([entry(`${count}`), entry(`${count + 1}`), entry(`${count + 2}`)], run);
    }
  };
  const seen: string[] = [];
  const readOn = async (): Promise<void> => {
    for (let last = 0; last < total; ) {
      for await (const batch of spool.read(last, run)) {
        seen.push(...batch.map(written));
        last = must(batch.at(-1), 'a record').sequence;
        await spool.release(last, run);
      }
      await new Promise(setImmediate);
    }
  };
  await Promise.all([appendAll(), readOn()]);
  assert.deepEqual(
    seen,
    Array.from({ length: total }, (_, index) => `${index + 1} ${index}: `),
  );
  assert.equal(filesOf(folder).length, 1);
});

test('a reader goes on with what is left when the file that it reads is released', async () => {
  await using folder = temporaryFolder();
  await using spool = await open(folder, { fileBytes: 100 });
  for (let count = 1; count <= 12; count += 1) await spool.append([entry('x', 'y'.repeat(24))], run);
  const seen: number[] = [];
  for await (const batch of spool.read(undefined, run)) {
    seen.push(...batch.map(({ sequence }) => sequence));
    if (seen.length === 2) await spool.release(9, run);
  }
  assert.deepEqual(seen, [1, 2, 10, 11, 12]);
});

test('closing waits for what is being written, refuses what waits, and may come twice', async () => {
  await using folder = temporaryFolder();
  const spool = await open(folder);
  const outcomes = Promise.allSettled([spool.append([entry('a')], run), spool.append([entry('b')], run)]);
  await Promise.all([spool[Symbol.asyncDispose](), spool[Symbol.asyncDispose]()]);
  assert.deepEqual(
    (await outcomes).map(({ status }) => status),
    ['fulfilled', 'rejected'],
  );
  await assert.rejects(spool.append([entry('c')], run), { name: 'BugError' });
  await using again = await open(folder);
  assert.deepEqual(await readWhole(again), ['1 a: ']);
});

test('a folder that can’t be used is told by name', async () => {
  await using folder = temporaryFolder();
  writeFileSync(folder.at('spool'), '');
  await assert.rejects(open(folder), (error: unknown) => {
    assert.ok(isTidemarkError(error, 'FAILED'));
    return error.message.includes(folder.at('spool'));
  });
});

test('a file that can’t be deleted counts until it is', async (t) => {
  if (process.geteuid?.() === 0) {
    t.skip('root may delete anything');
    return;
  }
  await using folder = temporaryFolder();
  await using spool = await open(folder, { fileBytes: 100 });
  for (let count = 0; count < 4; count += 1) await spool.append([entry('x', 'y'.repeat(24))], run);
  const before = spool.sizeBytes;
  chmodSync(folder.at('spool'), 0o500);
  await assert.rejects(spool.release(4, run), { code: 'FAILED' });
  assert.equal(spool.sizeBytes, before);
  chmodSync(folder.at('spool'), 0o700);
  await spool.release(4, run);
  assert.ok(spool.sizeBytes < before);
});
