import assert from 'node:assert/strict';
import { lstatSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { isTidemarkError, systemCode } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import type { FileResult } from '../../core/restorer.ts';
import type { ObjectStore } from '../../objects/object-store.ts';
import { countingStore } from '../../objects/wrappers/counting.ts';
import { faultyStore, lastingFault } from '../../objects/wrappers/faulty.ts';
import {
  CHUNK_BYTES,
  contentOf,
  ExtractFixture,
  fileBytes,
  FINISH,
  openFiles,
  SMALL_LIMITS,
} from '../../testing/extract-fixture.ts';
import { bytesOf } from '../../testing/pipeline-fixture.ts';
import type { EngineName, TestContent, TestTarget } from '../../testing/extract-fixture.ts';

const ENGINES: readonly EngineName[] = ['in place', 'on workers'];
const isDamaged = (error: unknown): boolean => isTidemarkError(error, 'REPOSITORY_DAMAGED');

function assertWhole(target: TestTarget, result: FileResult<string> | undefined, reused = false): void {
  assert.deepEqual(result, { tag: target.tag, sizeBytes: target.entry.content?.sizeBytes ?? 0, reused });
  const path = Buffer.from(target.path);
  assert.ok(readFileSync(path).equals(fileBytes(target)), `${target.tag} holds other bytes`);
  const { mode, mtimeNs, atimeNs } = lstatSync(path, { bigint: true });
  assert.equal(mtimeNs, FINISH.mtimeNs);
  // Reading it has moved the time of access on some file systems.
  assert.ok(atimeNs >= FINISH.atimeNs);
  assert.equal(Number(mode) & 0o7777, FINISH.mode);
}

const { splitBytes, windowBytes, jobBytes } = SMALL_LIMITS;
const edges = [0, 1, CHUNK_BYTES, splitBytes, jobBytes, windowBytes].flatMap((size) => [size, size + 1]);
const sizes = fc.oneof(fc.constantFrom(...edges), fc.nat(3 * CHUNK_BYTES), fc.nat(2 * windowBytes));
/** Runs of data and of holes; the first of each pair may be empty. */
const holes = fc.option(fc.array(fc.tuple(fc.nat(3), fc.nat(3)), { maxLength: 6 }), { nil: undefined });
const mixes = fc.array(fc.record({ sizeBytes: sizes, seed: fc.nat(5), holes, leading: fc.boolean() }), {
  minLength: 12,
  maxLength: 40,
});
type FileOfMix = {
  readonly sizeBytes: number;
  readonly seed: number;
  readonly holes: [number, number][] | undefined;
  readonly leading: boolean;
};

/** Extents that hold the whole content, with holes before, between and after them. */
function extentsOf({ sizeBytes, holes: pattern, leading }: FileOfMix) {
  if (pattern === undefined) return {};
  const extents: { offset: number; sizeBytes: number }[] = [];
  let [offset, left] = [leading ? 4096 : 0, sizeBytes];
  for (const [data, hole] of pattern) {
    const dataBytes = Math.min(left, data * 1500);
    if (dataBytes > 0) extents.push({ offset, sizeBytes: dataBytes });
    left -= dataBytes;
    offset += dataBytes + hole * 4096;
  }
  if (left > 0) extents.push({ offset, sizeBytes: left });
  return { extents, fileSizeBytes: offset + left };
}

test('both engines restore any mix of files alike', async (t) => {
  await using fixture = await ExtractFixture.create();
  let count = 0;
  await fc.assert(
    fc.asyncProperty(mixes, fc.integer({ min: 1, max: 6 }), async (mix, blockChunks) => {
      const half = Math.ceil(mix.length / 2);
      const bytes = mix.map(({ seed, sizeBytes }) => contentOf(`mix ${seed}`, sizeBytes));
      const contents = [
        ...(await fixture.store(bytes.slice(0, half), blockChunks)),
        ...(await fixture.store(bytes.slice(half), blockChunks)),
      ];
      for (const engine of ENGINES) {
        const targets = mix.map((file, index) => {
          const options = extentsOf(file);
          const content = file.sizeBytes === 0 && options.extents !== undefined ? undefined : contents[index];
          return fixture.target(`${engine} ${(count += 1)}`, content, options);
        });
        const results = await fixture.extractAll(engine, targets);
        assert.equal(results.size, targets.length);
        for (const target of targets) assertWhole(target, results.get(target.tag));
      }
    }),
    { numRuns: 4, seed: 20_260_301 },
  );
  t.diagnostic(`${count} files`);
});

test('damage fails the files that need it and no other, and nothing of theirs passes for whole', async () => {
  await using fixture = await ExtractFixture.create();
  const sizesOf = [100, 5000, splitBytes + 3000, windowBytes + 5000];
  const bytes = sizesOf.flatMap((size) => ['good', 'bad'].map((kind) => contentOf(`${kind} ${size}`, size)));
  const contents: TestContent[] = [];
  // One block a chunk: no good file shares one with a bad one.
  for (const each of bytes) contents.push(...(await fixture.store([each], 1)));
  for (const [index, content] of contents.entries()) {
    if (index % 2 === 1) fixture.damage(content, content.parts.length - 1);
  }
  for (const engine of ENGINES) {
    const targets = contents.map((content, index) => fixture.target(`${engine} ${index}`, content));
    const results = await fixture.extractAll(engine, targets);
    for (const [index, target] of targets.entries()) {
      const result = results.get(target.tag);
      if (index % 2 === 0) assertWhole(target, result);
      else assert.ok(isDamaged(result?.error), `${target.tag}: ${String(result?.error)}`);
    }
  }
});

test('a chunk that is damaged in one place comes from another one', async () => {
  await using fixture = await ExtractFixture.create();
  const bytes = [3000, splitBytes + 3000, windowBytes + 5000].map((size) => contentOf(`twice ${size}`, size));
  const contents = await fixture.store(bytes);
  await fixture.store(bytes, 2);
  for (const content of contents) {
    for (const chunk of content.parts.keys()) {
      if (fixture.packs.index.places(must(content.parts[chunk], 'a chunk').id).length < 2) continue;
      if (chunk % 5 === 0) fixture.damage(content, chunk, 0);
    }
  }
  for (const engine of ENGINES) {
    const targets = contents.map((content, index) => fixture.target(`${engine} ${index}`, content));
    const results = await fixture.extractAll(engine, targets);
    for (const target of targets) assertWhole(target, results.get(target.tag));
  }
});

test('what the index does not know is found by the packs’ own directories', async () => {
  await using fixture = await ExtractFixture.create();
  const contents = await fixture.store(
    [100, splitBytes + 1, windowBytes + 1].map((size) => contentOf(`${size}`, size)),
  );
  for (const engine of ENGINES) {
    const targets = contents.map((content, index) => fixture.target(`${engine} ${index}`, content));
    const results = await fixture.extractAll(engine, targets, { source: await fixture.source({ emptyIndex: true }) });
    for (const target of targets) assertWhole(target, results.get(target.tag));
  }
});

test('a damaged list of chunks fails its own file only', async () => {
  await using fixture = await ExtractFixture.create();
  const contents = await fixture.store([100, 5000, windowBytes + 1].map((size) => contentOf(`list ${size}`, size)));
  fixture.lostLists.add(must(contents[1], 'the second')).add(must(contents[2], 'the third'));
  for (const engine of ENGINES) {
    const targets = contents.map((content, index) => fixture.target(`${engine} ${index}`, content));
    const results = await fixture.extractAll(engine, targets);
    assertWhole(must(targets[0], 'the first'), results.get(`${engine} 0`));
    assert.ok(isDamaged(results.get(`${engine} 1`)?.error));
    assert.ok(isDamaged(results.get(`${engine} 2`)?.error));
  }
});

test('what is there already stays as it is, also where the content is damaged, lost or comes in parts', async () => {
  await using fixture = await ExtractFixture.create();
  const sizesOf = [100, splitBytes + 3000, windowBytes + 5000];
  const contents: TestContent[] = [];
  for (const size of [...sizesOf, ...sizesOf]) {
    contents.push(...(await fixture.store([contentOf(`there ${size} ${contents.length}`, size)], 1)));
  }
  for (const content of contents.slice(3)) fixture.damage(content, 0);
  for (const emptyIndex of [false, true]) {
    for (const engine of ENGINES) {
      const targets: TestTarget[] = contents.map((content, index) =>
        fixture.target(`${engine} ${index} ${String(emptyIndex)}`, content),
      );
      for (const { path } of targets) writeFileSync(Buffer.from(path), 'precious');
      const other = fixture.target(`${engine} other ${emptyIndex}`, contents[0]);
      const results = await fixture.extractAll(engine, [...targets, other], {
        source: await fixture.source({ emptyIndex }),
      });
      for (const { path, tag } of targets) {
        assert.equal(systemCode(results.get(tag)?.error), 'EEXIST', tag);
        assert.equal(readFileSync(Buffer.from(path), 'utf8'), 'precious');
      }
      assertWhole(other, results.get(other.tag));
    }
  }
});

test('a content that is not as long as its file is damage', async () => {
  await using fixture = await ExtractFixture.create();
  for (const size of [100, splitBytes + 1, windowBytes + 1]) {
    const content = await fixture.storeOne(contentOf(`length ${size}`, size));
    for (const engine of ENGINES) {
      const wrong = [
        fixture.target(`${engine} shorter ${size}`, content, { fileSizeBytes: size + 1 }),
        fixture.target(`${engine} longer ${size}`, content, { fileSizeBytes: size - 1 }),
        fixture.target(`${engine} sparse ${size}`, content, {
          fileSizeBytes: size * 3,
          extents: [{ offset: size, sizeBytes: size + 1 }],
        }),
      ];
      const results = await fixture.extractAll(engine, wrong);
      for (const { tag } of wrong) assert.ok(isDamaged(results.get(tag)?.error), tag);
    }
  }
});

test('bits of the mode and nanoseconds come as they are asked for', async () => {
  await using fixture = await ExtractFixture.create();
  const contents = await fixture.store(
    [100, splitBytes + 1, windowBytes + 1].map((size) => contentOf(`${size}`, size)),
  );
  const { uid, gid } = statSync(fixture.folder.path);
  const finish = { uid, gid, mode: 0o6751, mtimeNs: -1n, atimeNs: 4_000_000_000_000_000_001n };
  for (const engine of ENGINES) {
    const targets = contents.map((content, index) => fixture.target(`${engine} ${index}`, content, { finish }));
    await fixture.extractAll(engine, targets);
    for (const { path } of targets) {
      const stats = lstatSync(Buffer.from(path), { bigint: true });
      assert.equal(Number(stats.mode) & 0o7777, 0o6751);
      assert.equal(stats.mtimeNs, -1n);
      assert.equal(stats.atimeNs, finish.atimeNs);
    }
  }
});

test('a repository that is away ends all with its own error', async () => {
  await using fixture = await ExtractFixture.create();
  const contents: TestContent[] = [];
  for (let index = 0; index < 60; index++) contents.push(...(await fixture.store([contentOf(`${index}`, 9000)], 1)));
  for (const emptyIndex of [false, true]) {
    for (const engine of ENGINES) {
      let reads = 0;
      const away = lastingFault();
      const objects = faultyStore(fixture.repository.memory, ({ name }) => {
        if (name !== 'read') return undefined;
        reads += 1;
        return reads > (emptyIndex ? 70 : 20) ? { kind: 'fail', when: 'before', error: away } : undefined;
      });
      const source = await fixture.source({ objects, emptyIndex });
      const targets = contents.map((content, index) => fixture.target(`${engine} ${emptyIndex} ${index}`, content));
      const open = openFiles();
      await assert.rejects(fixture.extractAll(engine, targets, { source }), (error) => error === away);
      await source[Symbol.asyncDispose]();
      assert.equal(openFiles(), open);
      assert.ok(reads < 90, 'the others did not go on');
    }
  }
});

test('an interruption at any read leaves nothing running and nothing open', async () => {
  await using fixture = await ExtractFixture.create();
  const contents = await fixture.store(
    [100, 9000, splitBytes * 2, windowBytes * 2].map((size) => contentOf(`${size}`, size)),
  );
  for (const engine of ENGINES) {
    for (const last of [1, 2, 5, 9]) {
      const controller = new AbortController();
      const reason = new Error('enough');
      let reads = 0;
      const objects = faultyStore(fixture.repository.memory, ({ name }) => {
        if (name === 'read' && (reads += 1) === last) controller.abort(reason);
        return undefined;
      });
      await using source = await fixture.source({ objects });
      const open = openFiles();
      const targets = contents.map((content, index) => fixture.target(`${engine} ${last} ${index}`, content));
      await assert.rejects(
        fixture.extractAll(engine, targets, { source, run: { signal: controller.signal } }),
        (error) => error === reason,
      );
      assert.equal(openFiles(), open);
    }
  }
});

test('a base that lies in many small packs is fetched from several at once, and not from too many', async () => {
  await using fixture = await ExtractFixture.create();
  const contents: TestContent[] = [];
  for (let at = 0; at < 40; at += 1) contents.push(await fixture.storeOne(contentOf(`pack ${at}`, 300)));
  let [active, most] = [0, 0];
  const { memory } = fixture.repository;
  const objects: ObjectStore = {
    ...countingStore(memory),
    async read(key, offset, into, run) {
      active += 1;
      most = Math.max(most, active);
      await new Promise((resolve) => setImmediate(resolve));
      active -= 1;
      return memory.read(key, offset, into, run);
    },
  };
  await using source = await fixture.source({ objects });
  const targets = contents.map((content, index) => fixture.target(`${index}`, content));
  const results = await fixture.extractAll('on workers', targets, { source });
  for (const target of targets) assertWhole(target, results.get(target.tag));
  assert.ok(most > 1 && most <= 8, `${most} at once`);
});

test('who stops early has stopped it all, and who is slow is waited for', async () => {
  await using fixture = await ExtractFixture.create();
  const [content] = await fixture.store([contentOf('slow', 8000)]);
  for (const engine of ENGINES) {
    await using source = await fixture.source();
    const open = openFiles();
    let [pulled, ended] = [0, false];
    async function* endless() {
      try {
        for (;;) yield [fixture.target(`${engine} ${(pulled += 1)}`, content)];
      } finally {
        ended = true;
      }
    }
    let done = 0;
    for await (const results of fixture.extract(engine, source, endless())) {
      done += results.length;
      const windowFiles = windowBytes / 8000 + 1;
      assert.ok(pulled - done <= 3 * windowFiles, `${pulled} were taken when ${done} were done`);
      if (done > 40) break;
    }
    assert.ok(ended);
    assert.equal(openFiles(), open);
    const there = readdirSync(fixture.folder.path).length;
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(readdirSync(fixture.folder.path).length, there);
  }
});

test('of a large file only what the candidate lacks is fetched', async () => {
  await using fixture = await ExtractFixture.create();
  const bytes = bytesOf('large', windowBytes * 6 + 100);
  const [content] = await fixture.store([bytes], 1);
  const candidate = Buffer.from(bytes);
  for (const at of [0, 40_000, bytes.byteLength - 1]) candidate.writeUInt8(candidate.readUInt8(at) ^ 1, at);
  writeFileSync(fixture.folder.at('candidate'), candidate);
  const objects = countingStore(fixture.repository.memory);
  const target = fixture.target('target', content, { candidate: Buffer.from(fixture.folder.at('candidate')) });
  const results = await fixture.extractAll('on workers', [target], { source: await fixture.source({ objects }) });
  assertWhole(target, results.get('target'));
  const { readBytes } = objects.counts();
  // The end of the pack, with its directory, is read as well.
  assert.ok(readBytes < 100_000, `${readBytes} bytes were read`);
  writeFileSync(fixture.folder.at('candidate'), bytes);
  const again = fixture.target('again', content, { candidate: Buffer.from(fixture.folder.at('candidate')) });
  assertWhole(again, (await fixture.extractAll('on workers', [again])).get('again'), true);
});

test('candidates save reading the repository, and those that fail are replaced by it', async () => {
  await using fixture = await ExtractFixture.create();
  const contents = await fixture.store(
    [1, CHUNK_BYTES, 9000, splitBytes + 1].map((size) => contentOf(`c${size}`, size)),
  );
  const targets = contents.flatMap((content, index) => {
    const path = fixture.folder.at(`candidate ${index}`);
    writeFileSync(path, content.bytes);
    const changed = Buffer.from(content.bytes);
    changed.writeUInt8(changed.readUInt8(changed.byteLength - 1) ^ 1, changed.byteLength - 1);
    writeFileSync(`${path} changed`, changed);
    return ['', ' changed', ' absent'].map((kind) =>
      fixture.target(`${index}${kind}`, content, { candidate: Buffer.from(`${path}${kind}`) }),
    );
  });
  const results = await fixture.extractAll('on workers', targets);
  for (const target of targets) assertWhole(target, results.get(target.tag), !target.tag.includes(' '));
});

test('a content that was just written is copied from there, unless it was changed there meanwhile', async () => {
  await using fixture = await ExtractFixture.create();
  const content = must((await fixture.store([contentOf('again', 1500)]))[0], 'a content');
  const others = await fixture.store(Array.from({ length: 12 }, (_, at) => contentOf(`other ${at}`, windowBytes / 2)));
  const between = (turn: string) => others.map((other, at) => fixture.target(`${turn} ${at}`, other));
  const [first, second, third] = [
    fixture.target('1', content),
    fixture.target('2', content),
    fixture.target('3', content),
  ];
  async function* targets() {
    // What comes after so many windows is planned when the first one is done.
    yield [first, ...between('before')];
    fixture.damage(content, 0, 0);
    yield [second, ...between('after')];
    for (const { path } of [first, second]) writeFileSync(Buffer.from(path), Buffer.alloc(1500));
    yield [third];
  }
  await using source = await fixture.source();
  const results = new Map<string, FileResult<string>>();
  for await (const batch of fixture.extract('on workers', source, targets())) {
    for (const result of batch) results.set(result.tag, result);
    if (batch.some(({ tag }) => tag === second.tag)) assertWhole(second, results.get(second.tag));
  }
  assert.ok(isDamaged(results.get(third.tag)?.error));
});

test('how far an extraction is moves within a large file, and ends at all that it filled', async () => {
  await using fixture = await ExtractFixture.create();
  const bytes = bytesOf('large', windowBytes * 6 + 100);
  const small = contentOf('small', 5000);
  const contents = await fixture.store([bytes, small], 1);
  writeFileSync(fixture.folder.at('candidate'), bytes);
  for (const engine of ENGINES) {
    for (const candidate of [undefined, Buffer.from(fixture.folder.at('candidate'))]) {
      const name = `${engine} ${candidate === undefined}`;
      const targets = contents.map((content, index) => fixture.target(`${name} ${index}`, content, { candidate }));
      fixture.told.length = 0;
      await fixture.extractAll(engine, targets);
      const sum = fixture.told.reduce((total, told) => total + told, 0);
      assert.equal(sum, bytes.byteLength + small.byteLength, name);
      const isStepwise = fixture.told.every((told) => told < bytes.byteLength / 2);
      if (engine === 'on workers') assert.ok(isStepwise, name);
    }
  }
});
