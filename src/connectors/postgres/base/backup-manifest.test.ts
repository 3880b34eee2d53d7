import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { ManifestCheck, manifestCrc } from './backup-manifest.ts';
import type { FileSum } from './backup-manifest.ts';

const FILES: readonly (readonly [string, FileSum])[] = [
  ['backup_label', { sizeBytes: 224, crc: '9a3b5c7d' }],
  ['base/5/1259', { sizeBytes: 8192, crc: '00000000' }],
  ['caf\xc3\xa9', { sizeBytes: 0, crc: '00000000' }],
  ['\xff', { sizeBytes: 1, crc: '01020304' }],
];

function manifest(files = FILES): string {
  const lines = files.map(([name, { sizeBytes, crc }]) => {
    const utf8 = Buffer.from(name, 'latin1').toString();
    const path = utf8.includes('\ufffd')
      ? `"Encoded-Path": "${Buffer.from(name, 'latin1').toString('hex')}"`
      : `"Path": "${utf8}"`;
    return `{ ${path}, "Size": ${sizeBytes}, "Last-Modified": "2026-11-27 12:00:00 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "${crc}" }`;
  });
  const text = `{ "PostgreSQL-Backup-Manifest-Version": 1,\n"Files": [\n${lines.join(',\n')}\n],\n"WAL-Ranges": [\n{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100" }\n],\n`;
  return `${text}"Manifest-Checksum": "${createHash('sha256').update(text).digest('hex')}"}\n`;
}

function check(text: string, received: readonly (readonly [string, FileSum])[]): number {
  const one = new ManifestCheck(new Map(received));
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.byteLength; at += 100) one.update(bytes.subarray(at, at + 100));
  one.finish();
  return one.fileCount;
}

test('what came is what the manifest says', () => {
  assert.equal(check(manifest(), FILES), FILES.length);
});

test('a file that differs, is missing, or is too many, is told by its name', () => {
  const [first, second, ...rest] = FILES;
  assert.ok(first !== undefined && second !== undefined);
  const withSecond = (sum: Partial<FileSum>) => [first, [second[0], { ...second[1], ...sum }] as const, ...rest];
  assert.throws(() => check(manifest(), withSecond({ crc: '00000001' })), /base\/5\/1259.*checksum/);
  assert.throws(() => check(manifest(), withSecond({ sizeBytes: 8191 })), /base\/5\/1259 has 8191 bytes, and 8192/);
  assert.throws(() => check(manifest(), [first, ...rest]), /base\/5\/1259.*did not come/);
  assert.throws(() => check(manifest(), [...FILES, ['more', second[1]]]), /more is not in its manifest/);
});

test('a manifest that is cut off or changed is told', () => {
  assert.throws(() => check(manifest().replace(/"Manifest-Checksum".*/s, ''), FILES), /not whole/);
  assert.throws(() => check(manifest().replace('12:00:00', '12:00:01'), FILES), /not whole/);
  assert.throws(() => check('', FILES), /not whole/);
});

test('a CRC is written in the order of bytes of the machine', () => {
  assert.equal(manifestCrc('01020304'), '04030201');
});
