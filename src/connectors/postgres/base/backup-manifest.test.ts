import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { ManifestCheck, manifestCrc, manifestFiles } from './backup-manifest.ts';
import type { FileSum, ReceivedFile } from './backup-manifest.ts';

const FILES: readonly (readonly [string, FileSum])[] = [
  ['backup_label', { sizeBytes: 224, crc: '9a3b5c7d' }],
  ['base/5/1259', { sizeBytes: 8192, crc: '00000000' }],
  ['caf\xc3\xa9', { sizeBytes: 0, crc: '00000000' }],
  ['\xff', { sizeBytes: 1, crc: '01020304' }],
];

function manifest(files: readonly (readonly [string, FileSum])[] = FILES): string {
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

function stored(text: string, received: readonly (readonly [string, ReceivedFile])[]): string {
  const one = new ManifestCheck(new Map(received));
  const pieces: Buffer[] = [];
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.byteLength; at += 100) pieces.push(one.update(bytes.subarray(at, at + 100)));
  one.finish();
  assert.equal(one.fileCount, received.length);
  return Buffer.concat(pieces).toString();
}

function check(text: string, received: readonly (readonly [string, FileSum])[]): void {
  stored(text, received);
}

test('what came is what the manifest says, and goes into the base as it came', () => {
  assert.equal(stored(manifest(), FILES), manifest());
});

test('a file that goes into the base as another one is told of as that one', async () => {
  const [label, , ...rest] = FILES;
  assert.ok(label !== undefined);
  const crc = '01020304';
  const came = [
    [label[0], { ...label[1], stored: { path: label[0], sizeBytes: 190, crc } }],
    ['base/5/INCREMENTAL.1259', { sizeBytes: 12, crc, stored: { path: 'base/5/1259', sizeBytes: 16_384, crc: 'aa' } }],
    ['base/5/INCREMENTAL.7', { sizeBytes: 16_384, crc, stored: { path: 'base/5/7', sizeBytes: 8_192 } }],
    ...rest,
  ] as const;
  const text = stored(manifest(came), came);
  const ours = [
    [label[0], { sizeBytes: 190, crc }],
    ['base/5/1259', { sizeBytes: 16_384, crc: 'aa' }],
    ...rest,
  ] as const;
  const without = text.replace(/^\{ "Path": "base\/5\/7".*\n/m, '');
  assert.equal(without.replace(/"Manifest-Checksum".*/s, ''), manifest(ours).replace(/"Manifest-Checksum".*/s, ''));
  const told = new Map(ours.map(([name, sum]) => [name, sum] as const));
  told.set('base/5/7', { sizeBytes: 8_192, crc: '' });
  const files = await Array.fromAsync(manifestFiles(inPieces(text)));
  assert.deepEqual(new Map(files.map(({ path, sizeBytes, crc: sum }) => [path, { sizeBytes, crc: sum }])), told);
  assert.match(text, /\{ "Path": "base\/5\/7", "Size": 8192, "Last-Modified": "2026-11-27 12:00:00 GMT" \},\n/);
  const [before = '', sum = ''] = text.split(/"Manifest-Checksum": "([0-9a-f]+)"\}\n$/);
  assert.equal(createHash('sha256').update(before).digest('hex'), sum);
});

async function* inPieces(text: string): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.byteLength; at += 77) yield bytes.subarray(at, at + 77);
}

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
  assert.equal(manifestCrc(0x01020304), '04030201');
});
