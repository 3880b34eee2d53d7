import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { isTidemarkError } from '../../core/errors.ts';
import { orderOf } from '../../core/position.ts';
import { PayloadBuilder, payloadOf, readPayload } from './log-payload.ts';
import type { StoredChange, StoredPiece } from './log-payload.ts';

const START = { lineage: 'l', order: '0005' };

const id = fc.uint8Array({ minLength: 32, maxLength: 32 });
const part = fc.record({ id, sizeBytes: fc.nat() });
const content = fc.oneof(
  fc.constant(undefined),
  fc.array(part, { maxLength: 3 }).map((chunks) => ({
    kind: 'chunks' as const,
    sizeBytes: chunks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    chunks,
  })),
  fc.record({ kind: fc.constant('list' as const), depth: fc.nat({ max: 32 }), sizeBytes: fc.nat(), id }),
);
const change: fc.Arbitrary<StoredChange> = fc.oneof(
  fc.record({ name: fc.uint8Array(), removed: fc.constant(true as const) }),
  fc.record({ name: fc.uint8Array(), attributes: fc.uint8Array(), content }),
);
const order = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(orderOf);
const position = fc.record({ lineage: fc.constant('l'), order, resume: fc.string({ unit: 'grapheme' }) });
const piece: fc.Arbitrary<StoredPiece> = fc.oneof(
  fc.record({ changes: fc.array(change, { maxLength: 4 }) }),
  fc.record({ changes: fc.array(change, { maxLength: 4 }), commit: fc.record({ position, atMs: fc.nat() }) }),
);

function written(pieces: readonly StoredPiece[]): Uint8Array {
  const builder = new PayloadBuilder();
  for (const one of pieces) builder.piece(one);
  return builder.takePieces();
}

function damagedPayload(bytes: Uint8Array): void {
  assert.throws(
    () => [...readPayload(bytes, 'a payload').pieces],
    (error) => isTidemarkError(error, 'REPOSITORY_DAMAGED'),
  );
}

/** Without the difference of views and buffers, and of what is undefined and what is not there. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) => (item === undefined ? [] : [[key, plain(item)]])),
  );
}

test('what is written is read again, also when payloads are put in a row', () => {
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 5 }), fc.array(piece, { maxLength: 5 }), (first, second) => {
      const bytes = payloadOf(START, [written(first), written(second)]);
      const { start, pieces } = readPayload(bytes, 'a payload');
      assert.deepEqual(start, START);
      assert.deepEqual(plain([...pieces]), plain([...first, ...second]));
    }),
  );
});

test('a builder is empty after its pieces were taken', () => {
  const builder = new PayloadBuilder();
  builder.piece({ changes: [] });
  assert.equal(builder.sizeBytes, 2);
  builder.takePieces();
  assert.deepEqual([builder.sizeBytes, builder.takePieces().byteLength], [0, 0]);
});

test('a payload that ends within a piece is damaged', () => {
  const whole: StoredPiece = {
    changes: [{ name: Buffer.from('name'), attributes: Buffer.from('attributes') }],
    commit: { position: { lineage: 'l', order: '0006', resume: '6' }, atMs: 1 },
  };
  const bytes = payloadOf(START, [written([whole])]);
  const head = payloadOf(START, []).byteLength;
  for (let size = head + 1; size < bytes.byteLength; size++) damagedPayload(bytes.subarray(0, size));
});

test('kinds and ends that there are not, and positions that are too long, are damaged', () => {
  const head = payloadOf(START, []);
  damagedPayload(Buffer.concat([head, Buffer.from([1, 2, 0])]));
  damagedPayload(Buffer.concat([head, Buffer.from([0, 2])]));
  const committed = (place: { readonly order: string; readonly resume: string }): Uint8Array =>
    payloadOf(START, [written([{ changes: [], commit: { position: { lineage: 'l', ...place }, atMs: 0 } }])]);
  damagedPayload(committed({ order: '0006', resume: 'x'.repeat(65_537) }));
  for (const wrong of ['', 'x', '6x', '-6', '0x6', '18446744073709551616']) {
    damagedPayload(committed({ order: wrong, resume: '' }));
    assert.throws(
      () => readPayload(payloadOf({ lineage: 'l', order: wrong }, []), 'a payload'),
      (error) => isTidemarkError(error, 'REPOSITORY_DAMAGED'),
    );
  }
});
