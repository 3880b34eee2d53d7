import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { isTidemarkError } from '../../core/errors.ts';
import { openableBy, sha256, signingPair, boxPair } from './crypto.ts';
import { encodeJson } from './json.ts';
import type { Json } from './json.ts';
import { recordKey } from './names.ts';
import { openSection, readRecord, writeRecord } from './record.ts';
import type { SealedRecord } from './record.ts';

const MIB = 1024 * 1024;
const maintenance = boxPair(Buffer.alloc(32, 1));
const header = {
  kind: 'journal',
  repository: '0'.repeat(32),
  credential: '1'.repeat(32),
  session: '2'.repeat(32),
  counter: 1,
  previous: '3'.repeat(64),
  sections: ['maintenance'],
} as const;
const key = recordKey('journal', header.session, 1);

/** A record whose section unpacks to `json`, however large that is. */
function packedRecord(json: Uint8Array): SealedRecord {
  const headerBytes = encodeJson(header);
  const section = openableBy({
    publicKey: maintenance.publicKey,
    info: 'record',
    aad: sha256(headerBytes),
    plain: [zstdCompressSync(json)],
    ephemeralSeed: Buffer.alloc(32, 2),
  });
  return { header, key, digest: '', sizeBytes: section.byteLength, headerBytes, sections: [section] };
}

function written(value: Json): SealedRecord {
  const { sections: _sections, ...rest } = header;
  const keys = { contentKey: maintenance.publicKey, maintenanceKey: maintenance.publicKey };
  const signing = signingPair(Buffer.alloc(32, 3));
  const sections = [{ name: 'maintenance', value }] as const;
  return readRecord(writeRecord({ header: rest, sections, signing, keys, random: randomBytes }), key);
}

function opened(record: SealedRecord): string {
  const [section] = record.sections;
  assert.ok(section !== undefined);
  return openSection(record, { name: 'maintenance', section }, { maintenance }).text('text');
}

test('a section of few bytes that would unpack to very many is damage', () => {
  const text = 'A'.repeat(40 * MIB);
  const record = packedRecord(encodeJson({ text }));
  assert.ok(record.sizeBytes < 8 * 1024, `${record.sizeBytes} bytes`);
  assert.throws(
    () => opened(record),
    (error) => isTidemarkError(error, 'REPOSITORY_DAMAGED'),
  );
});

test('whatever is written can be read: what would shrink too much is not packed', () => {
  for (const text of ['A'.repeat(40 * MIB), 'small', randomBytes(6 * MIB).toString('base64')]) {
    const record = written({ text });
    assert.equal(opened(record), text);
  }
});

test('of JSON that shrinks to a five-hundredth both forms are read', () => {
  const lines = Array.from({ length: 20_000 }, (_, index) => `${index}`.padStart(600, ' '));
  const text = lines.join('\n');
  const record = written({ text });
  assert.ok(record.sizeBytes < text.length / 50, `${record.sizeBytes} bytes`);
  assert.equal(opened(record), text);
  assert.equal(opened(packedRecord(encodeJson({ text }))), text);
});
