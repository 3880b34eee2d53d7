import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import wabtInit from 'wabt';
import { createSeededRandom } from '../../../flow/random.ts';
import { createCrc32c } from './crc32c.ts';
import { CRC32C_WASM } from './crc32c-wasm.ts';

function checksum(pieces: readonly Uint8Array[]): number {
  const crc = createCrc32c();
  for (const piece of pieces) crc.update(piece);
  return crc.digest();
}

/** A bit at a time. */
function slowChecksum(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

suite('the checksum of a backup manifest', () => {
  test('is the published one', () => {
    assert.equal(checksum([Buffer.from('123456789')]), 0xe3069283);
    assert.equal(checksum([Buffer.alloc(32)]), 0x8a9136aa);
    assert.equal(checksum([Buffer.alloc(32, 0xff)]), 0x62a8ab43);
    assert.equal(checksum([]), 0);
  });

  test('is the same however the bytes are cut, whatever their number', () => {
    const seed = randomInt(2 ** 31);
    const random = createSeededRandom(seed);
    for (let round = 0; round < 120; round += 1) {
      const most = [40, 9_000, 20_000, 400_000][round % 4] ?? 0;
      const bytes = random.bytes(random.integer(most));
      const wanted = slowChecksum(bytes);
      const [from, to] = [random.integer(bytes.byteLength + 1), random.integer(bytes.byteLength + 1)].toSorted(
        (left, right) => left - right,
      );
      assert.equal(checksum([bytes]), wanted, `seed ${seed}, round ${round}`);
      const pieces = [bytes.subarray(0, from), bytes.subarray(from, to), bytes.subarray(to)];
      assert.equal(checksum(pieces), wanted, `seed ${seed}, round ${round}, cut at ${from} and ${to}`);
    }
  });

  test('begins anew after a reset, goes on after a digest, and leaves the bytes as they are', () => {
    const crc = createCrc32c();
    const bytes = createSeededRandom('bytes').bytes(30_000);
    const before = Buffer.from(bytes);
    crc.update(bytes);
    crc.reset();
    crc.update(bytes.subarray(0, 12_000));
    assert.equal(crc.digest(), slowChecksum(bytes.subarray(0, 12_000)));
    crc.update(bytes.subarray(12_000));
    assert.equal(crc.digest(), slowChecksum(bytes));
    assert.ok(before.equals(bytes));
  });

  test('is computed by what crc32c.wat says', async () => {
    const wabt = await wabtInit();
    const parsed = wabt.parseWat('crc32c.wat', readFileSync(new URL('crc32c.wat', import.meta.url), 'utf8'));
    try {
      assert.equal(Buffer.from(parsed.toBinary({}).buffer).toString('base64'), CRC32C_WASM);
    } finally {
      parsed.destroy();
    }
  });
});
