import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import createWabt from 'wabt';
import { must } from '../../core/must.ts';
import { CUT_SCAN_WASM } from './cut-scan.ts';
import { createScriptScanner, createWasmScanner } from './cut-scanner.ts';
import type { Scanner } from './cut-scanner.ts';
import { createContentCutter, createPageCutter } from './cut.ts';
import type { Cutter } from './cut.ts';

/** Small enough that a few hundred KiB have many chunks. */
const sizes = { minBytes: 1024, averageBytes: 4096, maxBytes: 16384, pageBytes: 512 };
const gear = new Uint32Array(256).map(randomWords(7));

/** Bytes from a seed: xorshift, so that a failure can be repeated without storing the data. */
function randomWords(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

function randomBytes(sizeBytes: number, seed: number): Uint8Array {
  return new Uint8Array(sizeBytes).map(randomWords(seed));
}

function wasm(): Scanner {
  return must(createWasmScanner(gear), 'this machine has WebAssembly');
}

/** Cuts as if the content came in windows of at most `windowBytes`: each begins at the last cut of the one before. */
function cutInWindows(cutter: Cutter, bytes: Uint8Array, windowBytes: number): number[] {
  const chunks: number[] = [];
  for (let at = 0; at < bytes.byteLength; ) {
    const window = bytes.slice(at, at + windowBytes);
    const final = at + windowBytes >= bytes.byteLength;
    let start = 0;
    for (;;) {
      const end = start < window.byteLength ? cutter.next(window, start, window.byteLength, final) : undefined;
      if (end === undefined) break;
      chunks.push(end - start);
      start = end;
    }
    assert.ok(start > 0, 'a window that is large enough has a cut');
    at += start;
  }
  return chunks;
}

function cutWhole(cutter: Cutter, bytes: Uint8Array): number[] {
  return cutInWindows(cutter, bytes, Math.max(1, bytes.byteLength));
}

const contents = fc
  .record({
    sizeBytes: fc.oneof(fc.nat(200_000), fc.constantFrom(0, 1, 1023, 1024, 1025, 4096, 16_384, 16_385)),
    seed: fc.nat(),
    alphabet: fc.constantFrom(1, 2, 3, 16, 256),
  })
  .map(({ sizeBytes, seed, alphabet }) => randomBytes(sizeBytes, seed).map((byte) => byte % alphabet));

test('the WebAssembly in the source is its text, compiled', async () => {
  const wabt = await createWabt();
  const text = readFileSync(new URL('cut-scan.wat', import.meta.url), 'utf8');
  using parsed = disposed(wabt.parseWat('cut-scan.wat', text), (module) => module.destroy());
  const { buffer } = parsed.value.toBinary({});
  assert.equal(Buffer.from(buffer).toString('base64'), CUT_SCAN_WASM);
});

function disposed<T>(value: T, dispose: (value: T) => void): Disposable & { readonly value: T } {
  return { value, [Symbol.dispose]: () => dispose(value) };
}

test('script and WebAssembly cut at the same places', () => {
  const script = createContentCutter(sizes, createScriptScanner(gear));
  const compiled = createContentCutter(sizes, wasm());
  fc.assert(
    fc.property(contents, (bytes) => {
      assert.deepEqual(cutWhole(compiled, bytes), cutWhole(script, bytes));
    }),
  );
});

test('the scanner in WebAssembly goes on over the pieces in which it copies', () => {
  const bytes = randomBytes(700_000, 3);
  for (const mask of [0xffff_f000 | 0, -1]) {
    const found = [createScriptScanner(gear), wasm()].map((scanner) => {
      const places: number[] = [];
      for (let at = 5; at < bytes.byteLength; ) {
        const place = scanner.scan(bytes, at, bytes.byteLength, mask);
        if (place < 0) break;
        places.push(place);
        at = place + 1;
      }
      return places;
    });
    assert.deepEqual(found[1], found[0]);
    assert.equal(found[0]?.length === 0, mask === -1);
  }
});

test('chunks are a content’s bytes in order, none of them too small or too large but the last', () => {
  const cutter = createContentCutter(sizes, wasm());
  fc.assert(
    fc.property(contents, (bytes) => {
      const chunks = cutWhole(cutter, bytes);
      assert.equal(
        chunks.reduce((sum, size) => sum + size, 0),
        bytes.byteLength,
      );
      assert.ok(chunks.every((size) => size > 0 && size <= sizes.maxBytes));
      assert.ok(chunks.slice(0, -1).every((size) => size > sizes.minBytes));
    }),
  );
});

test('chunks do not depend on the windows in which a content arrives', () => {
  const cutters = [createContentCutter(sizes, wasm()), createPageCutter(sizes.pageBytes)];
  fc.assert(
    fc.property(contents, fc.integer({ min: sizes.maxBytes, max: 60_000 }), (bytes, windowBytes) => {
      for (const cutter of cutters) {
        assert.deepEqual(cutInWindows(cutter, bytes, windowBytes), cutWhole(cutter, bytes));
      }
    }),
  );
});

test('an insertion changes only the chunks around it', () => {
  const cutter = createContentCutter(sizes, wasm());
  fc.assert(
    fc.property(fc.nat(), fc.nat(400_000), fc.integer({ min: 1, max: 50 }), (seed, place, inserted) => {
      const before = randomBytes(400_000, seed);
      const after = Buffer.concat([before.subarray(0, place), randomBytes(inserted, seed + 1), before.subarray(place)]);
      const known = new Set(chunksOf(cutter, before));
      const changed = chunksOf(cutter, after).filter((chunk) => !known.has(chunk));
      // Cuts meet again after a few chunks at most; hundreds would be cut anew if they followed the offsets.
      assert.ok(changed.length <= 12, `${changed.length} chunks changed`);
    }),
    { numRuns: 25 },
  );
});

function chunksOf(cutter: Cutter, bytes: Uint8Array): string[] {
  let start = 0;
  return cutWhole(cutter, bytes).map((size) => {
    const chunk = Buffer.from(bytes.subarray(start, start + size)).toString('latin1');
    start += size;
    return chunk;
  });
}

test('chunks gather around the average size', () => {
  const chunks = cutWhole(createContentCutter(sizes, wasm()), randomBytes(2_000_000, 11));
  const average = 2_000_000 / chunks.length;
  assert.ok(average > 3500 && average < 6000, `${average}`);
  assert.ok(chunks.filter((size) => size === sizes.maxBytes).length < chunks.length / 20);
});

test('another gear table cuts elsewhere', () => {
  const bytes = randomBytes(100_000, 5);
  const other = createContentCutter(sizes, createScriptScanner(gear.map((word) => word ^ 0x9e37_79b9)));
  assert.notDeepEqual(cutWhole(other, bytes), cutWhole(createContentCutter(sizes, wasm()), bytes));
});

test('pages are aligned and of one size, the last may be shorter', () => {
  assert.deepEqual(cutWhole(createPageCutter(512), new Uint8Array(1300)), [512, 512, 276]);
  assert.deepEqual(cutWhole(createPageCutter(512), new Uint8Array(1024)), [512, 512]);
});
