import assert from 'node:assert/strict';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { isTidemarkError } from '../../core/errors.ts';
import { createSeededRandom } from '../../flow/random.ts';
import { boxPair, openableBy, sha256 } from './crypto.ts';
import { encodeJson } from './json.ts';
import { openSection } from './record.ts';
import type { SealedRecord } from './record.ts';

const random = createSeededRandom('records');
const content = boxPair(random.bytes(32));

/** The value of a section that was sealed with these plain bytes. */
function opened(plain: Uint8Array): Readonly<Record<string, unknown>> {
  const id = '0'.repeat(32);
  const headerBytes = encodeJson({});
  const aad = sha256(headerBytes);
  const ephemeralSeed = random.bytes(32);
  const section = openableBy({ publicKey: content.publicKey, info: 'record', aad, plain: [plain], ephemeralSeed });
  const record: SealedRecord = {
    header: {
      kind: 'run',
      repository: id,
      credential: id,
      session: id,
      counter: 0,
      previous: '',
      sections: ['content'],
    },
    key: 'a record',
    digest: '',
    sizeBytes: 0,
    headerBytes,
    sections: [section],
  };
  return openSection(record, { name: 'content', section }, { content }).all;
}

/** JSON of that size. */
function jsonOf(bytes: number): Uint8Array {
  return encodeJson({ text: 'x'.repeat(bytes - '{"text":""}'.length) });
}

test('a section is its JSON, or one frame of it of any size', () => {
  for (const bytes of [11, 1000, 16_383, 16_384, 65_535, 65_536, 65_537, 131_072, 1_000_000]) {
    const json = jsonOf(bytes);
    const value = { text: 'x'.repeat(bytes - 11) };
    assert.deepEqual(opened(json), value);
    assert.deepEqual(opened(zstdCompressSync(json)), value, `${bytes}`);
  }
});

test('a section with anything after its first frame is damaged', () => {
  const parts = [encodeJson({ text: 'x' }), Buffer.from('   ')];
  const space = zstdCompressSync(Buffer.from(' '));
  const damagedSections = [
    ['two frames that together are JSON', Buffer.concat(parts.map((part) => zstdCompressSync(part)))],
    ['a byte', Buffer.concat([zstdCompressSync(jsonOf(1000)), Buffer.alloc(1)])],
    ...[16_384, 65_536, 131_072, 196_608].map(
      (bytes) => [`a frame after ${bytes} bytes`, Buffer.concat([zstdCompressSync(jsonOf(bytes)), space])] as const,
    ),
  ] as const;
  for (const [what, plain] of damagedSections) {
    assert.throws(
      () => opened(plain),
      (error) => isTidemarkError(error, 'REPOSITORY_DAMAGED'),
      what,
    );
  }
});
