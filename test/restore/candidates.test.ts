import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemCode } from '../../src/core/errors.ts';
import { must } from '../../src/core/must.ts';
import type { FileResult } from '../../src/core/restorer.ts';
import { dataExtents } from '../../src/io/native-file.ts';
import { Candidate, cloneCandidate } from '../../src/repository/extract/candidate.ts';
import { TargetFile } from '../../src/repository/extract/target-file.ts';
import { contentOf, ExtractFixture, fileBytes, FINISH, SMALL_LIMITS } from '../../src/testing/extract-fixture.ts';
import type { TestTarget } from '../../src/testing/extract-fixture.ts';
import { mountReflinks, mountSmall, whyNoMount, whyNoReflinks } from './restore-file-system.ts';
import type { MountedFolder } from './restore-file-system.ts';

const KIB = 1024;
/** More than a window: it comes in stretches. */
const CLONED_BYTES = 300 * KIB;
const LARGE_BYTES = SMALL_LIMITS.windowBytes + 3000;

type Place = { at(name: string): string };

function plainFolder(): MountedFolder {
  const path = mkdtempSync(join(tmpdir(), 'tidemark-candidates-'));
  return { path, at: (name) => join(path, name), [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

const PLACES: readonly { name: string; skip: string | false; open: () => MountedFolder }[] = [
  { name: 'where blocks are copied', skip: false, open: plainFolder },
  { name: 'on XFS', skip: whyNoReflinks('xfs'), open: () => mountReflinks('xfs') },
  { name: 'on btrfs', skip: whyNoReflinks('btrfs'), open: () => mountReflinks('btrfs') },
];

/** A target of the fixture, at another place. */
function inside(place: Place, target: TestTarget): TestTarget {
  return { ...target, path: Buffer.from(place.at(target.tag)) };
}

function assertWhole(target: TestTarget, result: FileResult<string> | undefined): void {
  assert.equal(result?.error, undefined);
  assert.ok(readFileSync(Buffer.from(target.path)).equals(fileBytes(target)), `${target.tag} holds other bytes`);
  const { mode, mtimeNs, nlink } = lstatSync(Buffer.from(target.path), { bigint: true });
  assert.deepEqual([Number(mode) & 0o7777, mtimeNs, nlink], [FINISH.mode, FINISH.mtimeNs, 1n]);
}

function flipped(bytes: Uint8Array, at: number): Buffer {
  const changed = Buffer.from(bytes);
  changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
  return changed;
}

/** What may lie where a candidate is looked for, and whether it holds the content. */
const KINDS: Readonly<Record<string, { readonly holds: boolean; make(path: string, bytes: Uint8Array): void }>> = {
  same: { holds: true, make: (path, bytes) => writeFileSync(path, bytes) },
  'same, mode 0': { holds: process.geteuid?.() === 0, make: (path, bytes) => writeFileSync(path, bytes, { mode: 0 }) },
  'other first byte': { holds: false, make: (path, bytes) => writeFileSync(path, flipped(bytes, 0)) },
  'other byte in the middle': {
    holds: false,
    make: (path, bytes) => writeFileSync(path, flipped(bytes, bytes.byteLength >> 1)),
  },
  'other last byte': { holds: false, make: (path, bytes) => writeFileSync(path, flipped(bytes, bytes.byteLength - 1)) },
  shorter: { holds: false, make: (path, bytes) => writeFileSync(path, bytes.subarray(0, bytes.byteLength - 1)) },
  longer: { holds: false, make: (path, bytes) => writeFileSync(path, Buffer.concat([bytes, Buffer.from('x')])) },
  empty: { holds: false, make: (path) => writeFileSync(path, '') },
  hole: {
    holds: false,
    make: (path, bytes) => {
      writeFileSync(path, '');
      truncateSync(path, bytes.byteLength);
    },
  },
  absent: { holds: false, make: () => undefined },
  folder: { holds: false, make: (path) => mkdirSync(path) },
  'link to the same': {
    holds: false,
    make: (path, bytes) => {
      writeFileSync(`${path} real`, bytes);
      symlinkSync(`${path} real`, path);
    },
  },
  fifo: { holds: false, make: (path) => execFileSync('mkfifo', [path]) },
};

for (const { name, skip, open } of PLACES) {
  test(`whatever a candidate is, the target holds the content, ${name}`, { skip }, async () => {
    await using fixture = await ExtractFixture.create();
    using place = open();
    // Copied; the others are cloned where that can be, the last one in stretches.
    const sizes = [1, 3000, 5000, SMALL_LIMITS.splitBytes + 1, LARGE_BYTES];
    const contents = await fixture.store(sizes.map((size) => contentOf(`candidate ${size}`, size)));
    const targets = contents.flatMap((content) =>
      Object.entries(KINDS).map(([kind, { make }]) => {
        const tag = `${content.sizeBytes} ${kind}`;
        const candidate = place.at(`candidate ${tag}`);
        make(candidate, content.bytes);
        return inside(place, fixture.target(tag, content, { candidate: Buffer.from(candidate) }));
      }),
    );
    const results = await fixture.extractAll('on workers', targets);
    for (const target of targets) {
      assertWhole(target, results.get(target.tag));
      const kind = must(KINDS[target.tag.replace(/^\d+ /, '')], 'a kind');
      assert.equal(results.get(target.tag)?.reused, kind.holds, target.tag);
    }
    for (const target of targets.filter(({ tag }) => tag.endsWith(' same'))) {
      const inode = statSync(Buffer.from(must(target.candidate, 'a candidate'))).ino;
      assert.notEqual(statSync(Buffer.from(target.path)).ino, inode);
      writeFileSync(Buffer.from(must(target.candidate, 'a candidate')), 'changed afterwards');
      assertWhole(target, results.get(target.tag));
    }
  });

  test(`holes are holes, whatever a candidate has there, ${name}`, { skip }, async () => {
    await using fixture = await ExtractFixture.create();
    using place = open();
    // The runs of the first kind of layout begin with a hole, of the second end with one.
    const half = 160 * KIB;
    const content = await fixture.storeOne(contentOf('sparse', 2 * half));
    const layouts = [
      { fileSizeBytes: 8 * half, extents: [half, 5 * half].map((offset) => ({ offset, sizeBytes: half })) },
      { fileSizeBytes: 9 * half, extents: [0, 3 * half].map((offset) => ({ offset, sizeBytes: half })) },
      { fileSizeBytes: 2 * half, extents: [0, half].map((offset) => ({ offset, sizeBytes: half })) },
    ];
    const targets = layouts.flatMap((layout, index) =>
      ['sparse', 'filled', 'dirty'].map((kind) => {
        const tag = `${kind} ${index}`;
        const candidate = place.at(`candidate ${tag}`);
        const target = inside(place, fixture.target(tag, content, { ...layout, candidate: Buffer.from(candidate) }));
        const whole = fileBytes(target);
        writeFileSync(candidate, kind === 'filled' ? whole : '');
        truncateSync(candidate, layout.fileSizeBytes);
        const file = openSync(candidate, 'r+');
        for (const { offset, sizeBytes } of layout.extents) writeSync(file, whole, offset, sizeBytes, offset);
        if (kind === 'dirty' && index < 2) writeSync(file, 'dirt', 2 * half + 7);
        closeSync(file);
        return target;
      }),
    );
    const results = await fixture.extractAll('on workers', targets);
    for (const target of targets) {
      assertWhole(target, results.get(target.tag));
      assert.equal(results.get(target.tag)?.reused, true);
      const file = openSync(Buffer.from(target.path), 'r');
      const dataBytes = dataExtents(file, target.fileSizeBytes).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
      closeSync(file);
      assert.equal(dataBytes, 2 * half, `${target.tag} has as much data as its content`);
    }
  });

  test(`a candidate that holds more or less than the content is none, however it is taken over, ${name}`, {
    skip,
  }, async () => {
    await using fixture = await ExtractFixture.create();
    using place = open();
    for (const size of [3000, 9000, CLONED_BYTES]) {
      const bytes = contentOf(`complete ${size}`, size);
      const content = await fixture.storeOne(bytes);
      for (const [kind, fileSizeBytes] of [
        ['longer', size + 5000],
        ['shorter', size - 1],
      ] as const) {
        const candidate = place.at(`candidate ${kind} ${size}`);
        writeFileSync(candidate, Buffer.concat([bytes, Buffer.alloc(5000, 'more')]).subarray(0, fileSizeBytes));
        const tag = `${kind} ${size}`;
        const target = inside(
          place,
          fixture.target(tag, content, { fileSizeBytes, candidate: Buffer.from(candidate) }),
        );
        const results = await fixture.extractAll('on workers', [target]);
        assert.ok(results.get(tag)?.error instanceof Error, `${tag} is no success`);
      }
    }
  });

  test(`candidates that change all the while do no harm, ${name}`, { skip }, async () => {
    await using fixture = await ExtractFixture.create();
    using place = open();
    const contents = await fixture.store([3000, 9000, LARGE_BYTES].map((size) => contentOf(`c ${size}`, size)));
    const candidates = contents.map(({ bytes }, index) => {
      writeFileSync(place.at(`candidate ${index}`), bytes);
      return openSync(place.at(`candidate ${index}`), 'r+');
    });
    let ended = false;
    const targets = Array.from({ length: 60 }, (_, at) => {
      const candidate = Buffer.from(place.at(`candidate ${at % 3}`));
      return inside(place, fixture.target(`${at}`, must(contents[at % 3], 'a content'), { candidate }));
    });
    const extracting = fixture.extractAll('on workers', targets).finally(() => (ended = true));
    for (let turn = 0; !ended; turn++) {
      const at = (turn >> 1) % 3;
      const { bytes } = must(contents[at], 'a content');
      const offset = (turn * 7919) % bytes.byteLength;
      writeSync(must(candidates[at], 'a file'), flipped(bytes.subarray(offset, offset + 1), 0), 0, 1, offset);
      writeSync(must(candidates[at], 'a file'), bytes, offset, 1, offset);
      if (turn % 16 === 0 && at === 0) {
        unlinkSync(place.at('candidate 0'));
        writeFileSync(place.at('candidate 0'), bytes);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    const results = await extracting;
    for (const target of targets) assertWhole(target, results.get(target.tag));
    for (const file of candidates) closeSync(file);
  });
}

for (const type of ['xfs', 'btrfs'] as const) {
  test(`a candidate that grows or shrinks before it is cloned is not cloned, on ${type}`, {
    skip: whyNoReflinks(type),
  }, () => {
    using place = mountReflinks(type);
    const bytes = contentOf('grows', CLONED_BYTES);
    for (const [name, change] of [
      ['grown', (path: string) => appendFileSync(path, 'more')],
      ['shrunk', (path: string) => truncateSync(path, 100)],
    ] as const) {
      const path = place.at(`candidate ${name}`);
      writeFileSync(path, bytes);
      const shape = {
        path: Buffer.from(place.at(name)),
        fileSizeBytes: CLONED_BYTES,
        extents: undefined,
        finish: FINISH,
      };
      using from = must(Candidate.open(Buffer.from(path), CLONED_BYTES), 'a candidate');
      using target = TargetFile.create(shape);
      change(path);
      assert.equal(cloneCandidate(from, target, shape), 'empty');
      assert.equal(statSync(place.at(name)).size, 0);
    }
    const same = place.at('candidate same');
    writeFileSync(same, bytes);
    const shape = {
      path: Buffer.from(place.at('same')),
      fileSizeBytes: CLONED_BYTES,
      extents: undefined,
      finish: FINISH,
    };
    using from = must(Candidate.open(Buffer.from(same), CLONED_BYTES), 'a candidate');
    using target = TargetFile.create(shape);
    assert.equal(cloneCandidate(from, target, shape), 'whole', 'this file system shares blocks');
  });
}

for (const type of ['xfs', 'btrfs'] as const) {
  test(`a candidate’s later changes show, once its last one is a moment ago, on ${type}`, {
    skip: whyNoReflinks(type),
  }, async () => {
    using place = mountReflinks(type);
    const path = place.at('candidate');
    writeFileSync(path, 'before');
    using from = must(Candidate.open(Buffer.from(path), 6), 'a candidate');
    const stillness = (name: string): ReturnType<typeof from.stillness> => {
      const shape = { path: Buffer.from(place.at(name)), fileSizeBytes: 0, extents: undefined, finish: FINISH };
      using later = TargetFile.create(shape);
      return from.stillness(later);
    };
    assert.equal(stillness('at once'), undefined);
    let before: ReturnType<typeof stillness>;
    for (let turn = 0; before === undefined; turn++) {
      before = stillness(`turn ${turn}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.ok(from.isStill(before));
    writeFileSync(path, 'after!');
    assert.ok(!from.isStill(before));
  });
}

test('a full disk fails the files that do not fit, and the others go on', { skip: whyNoMount() }, async () => {
  await using fixture = await ExtractFixture.create();
  for (const engine of ['in place', 'on workers'] as const) {
    using small = mountSmall(200 * KIB);
    const sizes = [5000, 3000 * KIB, 6000, SMALL_LIMITS.splitBytes + 300 * KIB, 7000];
    const contents = await fixture.store(sizes.map((size) => contentOf(`full ${size}`, size)));
    const targets = contents.map((content, at) =>
      inside(at % 2 === 0 ? fixture.folder : small, fixture.target(`${engine} ${at}`, content)),
    );
    const results = await fixture.extractAll(engine, targets);
    for (const [at, target] of targets.entries()) {
      const result = results.get(target.tag);
      if (at % 2 === 0) assertWhole(target, result);
      else assert.equal(systemCode(result?.error), 'ENOSPC');
    }
  }
});

test('a target that may not be created fails alone', { skip: whyNoMount() }, async () => {
  await using fixture = await ExtractFixture.create();
  const contents = await fixture.store([5000, 6000].map((size) => contentOf(`denied ${size}`, size)));
  for (const engine of ['in place', 'on workers'] as const) {
    using small = mountSmall(200 * KIB);
    execFileSync('mount', ['-o', 'remount,ro', small.path]);
    const denied = inside(small, fixture.target(`${engine} denied`, must(contents[0], 'a content')));
    const other = fixture.target(`${engine} other`, contents[1]);
    const results = await fixture.extractAll(engine, [denied, other]);
    assert.equal(systemCode(results.get(denied.tag)?.error), 'EROFS');
    assertWhole(other, results.get(other.tag));
  }
});
