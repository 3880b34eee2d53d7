import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import wabtInit from 'wabt';
import { createSeededRandom } from '../../../flow/random.ts';
import { createCrc64 } from './crc64.ts';
import { CRC64_WASM } from './crc64-wasm.ts';

function checksum(pieces: readonly Uint8Array[]): string {
  const crc = createCrc64();
  for (const piece of pieces) crc.update(piece);
  const bytes = new Uint8Array(8);
  crc.write(bytes, 0);
  return Buffer.from(bytes.toReversed()).toString('hex');
}

/** A bit at a time. */
function slowChecksum(bytes: Uint8Array): string {
  let crc = 0n;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1n ? (crc >> 1n) ^ 0x95ac9329ac4bc9b5n : crc >> 1n;
  }
  return crc.toString(16).padStart(16, '0');
}

suite('the checksum of Redis', () => {
  test('is the published one', () => {
    assert.equal(checksum([Buffer.from('123456789')]), 'e9c6d914c4b8d9ca');
    assert.equal(checksum([]), '0000000000000000');
  });

  test('is the same however the bytes are cut', () => {
    const seed = randomInt(2 ** 31);
    const random = createSeededRandom(seed);
    for (let round = 0; round < 40; round += 1) {
      const bytes = random.bytes(random.integer(round < 38 ? 200 : 300_000));
      const cut = random.integer(bytes.byteLength + 1);
      const wanted = slowChecksum(bytes);
      assert.equal(checksum([bytes]), wanted, `seed ${seed}`);
      assert.equal(checksum([bytes.subarray(0, cut), bytes.subarray(cut)]), wanted, `seed ${seed}`);
    }
  });

  test('begins anew after a reset', () => {
    const crc = createCrc64();
    crc.update(Buffer.from('something'));
    crc.reset();
    crc.update(Buffer.from('123456789'));
    const bytes = new Uint8Array(9);
    crc.write(bytes, 1);
    assert.equal(Buffer.from(bytes).toString('hex'), '00cad9b8c414d9c6e9');
  });

  test('of a payload is known from that of everything', () => {
    const seed = randomInt(2 ** 31);
    const random = createSeededRandom(seed);
    const crc = createCrc64();
    for (let round = 0; round < 100; round += 1) {
      const value = random.bytes(random.integer(round < 90 ? 300 : round < 98 ? 70_000 : 3_000_000));
      const [type, version] = [random.integer(256), random.integer(65_536)];
      crc.update(random.bytes(random.integer(20)));
      crc.mark(type);
      crc.update(value);
      const payload = Buffer.concat([Buffer.of(type), value, Buffer.of(version & 0xff, version >> 8)]);
      const found = Buffer.from(crc.payload(value.byteLength, version).toReversed()).toString('hex');
      assert.equal(found, checksum([payload]), `seed ${seed}`);
    }
  });

  test('is taken of its own room in place, also after that has grown', () => {
    const bytes = createSeededRandom('room').bytes(300_000);
    const crc = createCrc64();
    crc.room(1000).set(bytes.subarray(0, 1000));
    const room = crc.room(bytes.byteLength);
    assert.deepEqual(Uint8Array.from(room.subarray(0, 1000)), Uint8Array.from(bytes.subarray(0, 1000)));
    room.set(bytes);
    crc.update(room, 0, 100_000);
    crc.update(room.subarray(100_000));
    const found = new Uint8Array(8);
    crc.write(found, 0);
    assert.equal(Buffer.from(found.toReversed()).toString('hex'), checksum([bytes]));
  });

  test('is computed by what crc64.wat says', async () => {
    const wabt = await wabtInit();
    const parsed = wabt.parseWat('crc64.wat', readFileSync(new URL('crc64.wat', import.meta.url), 'utf8'));
    try {
      assert.equal(Buffer.from(parsed.toBinary({}).buffer).toString('base64'), CRC64_WASM);
    } finally {
      parsed.destroy();
    }
  });
});
