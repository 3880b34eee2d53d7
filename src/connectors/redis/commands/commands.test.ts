import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { suite, test } from 'node:test';
import { isTidemarkError } from '../../../core/errors.ts';
import { createSeededRandom } from '../../../flow/random.ts';
import type { SeededRandom } from '../../../flow/random.ts';
import { encodeCommand } from '../resp.ts';
import { effectiveCommands } from './command-filter.ts';
import { argumentsOf, readCommands } from './command-reader.ts';
import type { CommandBatch } from './command-reader.ts';
import { highestDatabase } from './databases-used.ts';

/** Looking at a long one again and again would take longer by far. */
const LIMIT_MS = 60_000;

async function* cut(bytes: Uint8Array, size: () => number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; ) {
    const piece = bytes.subarray(at, at + size());
    at += piece.byteLength;
    yield Uint8Array.from(piece);
  }
}

async function batchesOf(bytes: Uint8Array, size = () => bytes.byteLength): Promise<readonly CommandBatch[]> {
  return await Array.fromAsync(readCommands(cut(bytes, size)));
}

/** The commands that are left of these, as words. */
async function filtered(
  commands: readonly (readonly string[])[],
  shiftMs?: number,
  fieldShiftMs = shiftMs,
): Promise<readonly string[]> {
  const expiry = shiftMs === undefined ? undefined : (atMs: number) => atMs + shiftMs;
  const found: string[] = [];
  for (const batch of await batchesOf(Buffer.concat(commands.map((words) => encodeCommand(words))))) {
    const { bytes, count } = effectiveCommands(batch, expiry && { map: expiry, fieldShiftMs: fieldShiftMs ?? 0 });
    const [again] = await batchesOf(Buffer.concat(bytes));
    assert.equal(again?.starts.length ?? 0, count);
    for (const start of again?.starts ?? []) found.push(argumentsOf(again?.bytes ?? Buffer.of(), start).join(' '));
  }
  return found;
}

function randomCommands(random: SeededRandom): readonly (readonly (string | Uint8Array)[])[] {
  return Array.from({ length: random.integer(200) }, () => {
    const kind = random.integer(6);
    if (kind === 0) return ['MULTI'];
    if (kind === 1) return ['exec'];
    return ['SET', ...Array.from({ length: random.integer(14) }, () => random.bytes(random.integer(60)))];
  });
}

suite('the commands that a server sends its replicas', { timeout: LIMIT_MS }, () => {
  test('are found whole, however they are cut into pieces', async () => {
    const seed = randomInt(2 ** 31);
    const random = createSeededRandom(seed);
    for (let round = 0; round < 60; round += 1) {
      const commands = randomCommands(random);
      const encoded = commands.map((words) => encodeCommand(words));
      const stream = Buffer.concat([...encoded, Buffer.from('*2\r\n$3\r\nDEL\r\n$4\r\nab')]);
      const most = random.pick([1, 5, 100, 10_000]);
      const batches = await batchesOf(stream, () => 1 + random.integer(most));
      const found = batches.flatMap(({ bytes, starts }) => starts.map((start) => argumentsOf(bytes, start)));
      assert.deepEqual(
        found,
        commands.map((words) => words.map((word) => Buffer.from(word))),
        `seed ${seed}`,
      );
      const joined = Buffer.concat(batches.map(({ bytes }) => bytes));
      assert.deepEqual(joined, Buffer.concat(encoded), `seed ${seed}`);
      let [at, settled, isOpen] = [0, 0, false];
      for (const [index, [name]] of commands.entries()) {
        at += encoded[index]?.byteLength ?? 0;
        if (name === 'MULTI') isOpen = true;
        if (name === 'exec') isOpen = false;
        if (!isOpen) settled = at;
      }
      assert.equal(batches.at(-1)?.settled ?? 0, settled, `seed ${seed}`);
    }
  });

  test('are each looked at once, however many arguments they have and pieces they come in', async () => {
    const words = Array.from({ length: 500_000 }, (_, index) => String(index));
    const command = encodeCommand(['SADD', 'key', ...words]);
    // Each of it again for each piece would be ten thousand times as much.
    const batches = await batchesOf(command, () => 500);
    assert.deepEqual(
      batches.map(({ bytes, starts }) => [bytes.byteLength, starts.length]),
      [[command.byteLength, 1]],
    );
    const [{ bytes } = assert.fail()] = batches;
    assert.ok(bytes.equals(command));
  });

  test('may have lines between them that keep the link alive', async () => {
    const stream = Buffer.concat([Buffer.from('\n\nPING\r\n'), encodeCommand(['DEL', 'a']), Buffer.from('\n')]);
    const [batch] = await batchesOf(stream);
    assert.equal(batch?.settled, stream.byteLength);
    const { bytes, count } = effectiveCommands(batch ?? assert.fail(), undefined);
    assert.equal(count, 1);
    assert.deepEqual(Buffer.concat(bytes), encodeCommand(['DEL', 'a']));
  });

  test('that are none are refused as damage', async () => {
    const seed = randomInt(2 ** 31);
    const random = createSeededRandom(seed);
    for (const text of [
      '*x\r\n',
      '*1\r\n+OK\r\n',
      '*1\r\n$3\r\nabcd\r\n',
      '*1\r\n$-1\r\n',
      '*99999999999999999\r\n',
      '\u0000',
    ]) {
      await assert.rejects(batchesOf(Buffer.from(text)), (error) => isTidemarkError(error, 'REPOSITORY_DAMAGED'), text);
    }
    for (let round = 0; round < 300; round += 1) {
      const stream = Buffer.concat(randomCommands(random).map((words) => encodeCommand(words)));
      for (let flips = random.integer(4); flips >= 0; flips -= 1) {
        stream[random.integer(stream.byteLength + 1)] = random.integer(256);
      }
      try {
        await batchesOf(stream, () => 1 + random.integer(999));
      } catch (error) {
        assert.ok(isTidemarkError(error, 'REPOSITORY_DAMAGED'), `seed ${seed}: ${String(error)}`);
      }
    }
  });
});

suite('commands that are sent to a server', () => {
  test('are all but those that change nothing', async () => {
    const commands = [
      ['SELECT', '0'],
      ['PING'],
      ['MULTI'],
      ['SET', 'a', '1'],
      ['PUBLISH', 'news', 'x'],
      ['SPUBLISH', 'news', 'x'],
      ['EXEC'],
      ['REPLCONF', 'GETACK', '*'],
      ['publish', 'news', 'y'],
      ['SADD', ...Array.from('abcdefghijklm')],
    ];
    const wanted = ['SELECT 0', 'MULTI', 'SET a 1', 'EXEC', 'SADD a b c d e f g h i j k l m'];
    assert.deepEqual(await filtered(commands), wanted);
    assert.deepEqual(await filtered(commands, 5), wanted);
  });

  test('have each their expiry moved, wherever it stands', async () => {
    const cases: readonly (readonly [string, string])[] = [
      ['PEXPIREAT key 1000', 'PEXPIREAT key 1007'],
      ['expireat key 2', 'PEXPIREAT key 2007'],
      ['SET key PXAT PXAT 5000', 'SET key PXAT PXAT 5007'],
      ['SET key value NX EXAT 5', 'SET key value NX PXAT 5007'],
      ['SET key value IFEQ PXAT PXAT 5', 'SET key value IFEQ PXAT PXAT 12'],
      ['SET key value IFNE FIELDS EXAT 5', 'SET key value IFNE FIELDS PXAT 5007'],
      ['SET key value KEEPTTL', 'SET key value KEEPTTL'],
      ['SET key value', 'SET key value'],
      ['GETEX key PXAT 1', 'GETEX key PXAT 8'],
      ['RESTORE key 1000 payload ABSTTL', 'RESTORE key 1007 payload ABSTTL'],
      ['RESTORE key 0 payload REPLACE ABSTTL', 'RESTORE key 0 payload REPLACE ABSTTL'],
      ['RESTORE key 50 payload', 'RESTORE key 50 payload'],
      ['RESTORE-ASKING key 1000 payload REPLACE ABSTTL', 'RESTORE-ASKING key 1007 payload REPLACE ABSTTL'],
      ['HPEXPIREAT key 1000 FIELDS 1 a', 'HPEXPIREAT key 1007 FIELDS 1 a'],
      ['HEXPIREAT key 1 FIELDS 1 a', 'HPEXPIREAT key 1007 FIELDS 1 a'],
      ['HSETEX key FXX PXAT 9 FIELDS 1 PXAT 5', 'HSETEX key FXX PXAT 16 FIELDS 1 PXAT 5'],
      ['HSETEX key FIELDS 1 PXAT 5', 'HSETEX key FIELDS 1 PXAT 5'],
      ['MSETEX 2 PXAT 1 b 2 PXAT 5', 'MSETEX 2 PXAT 1 b 2 PXAT 12'],
      ['MSETEX 1 a 1 NX EXAT 5', 'MSETEX 1 a 1 NX PXAT 5007'],
      ['PEXPIREAT key 1000 GT', 'PEXPIREAT key 1007 GT'],
      ['PERSIST key', 'PERSIST key'],
      ['GETSET key PXAT', 'GETSET key PXAT'],
    ];
    const commands = cases.map(([command]) => command.split(' '));
    assert.deepEqual(
      await filtered(commands, 7),
      cases.map(([, wanted]) => wanted),
    );
    assert.deepEqual(
      await filtered(commands),
      cases.map(([command]) => command),
    );
  });

  test('trim streams without the limit that only a replica takes', async () => {
    const cases: readonly (readonly [string, string])[] = [
      ['XADD key MAXLEN = 5 LIMIT 100 1-1 f v', 'XADD key MAXLEN = 5 1-1 f v'],
      ['xadd key nomkstream limit 9 minid = 1-1 2-1 LIMIT 5', 'xadd key nomkstream minid = 1-1 2-1 LIMIT 5'],
      ['XADD key KEEPREF MAXLEN 5 1-1 LIMIT 5', 'XADD key KEEPREF MAXLEN 5 1-1 LIMIT 5'],
      ['XADD key 1-1 MAXLEN LIMIT', 'XADD key 1-1 MAXLEN LIMIT'],
      ['XTRIM key MINID = 1-1 LIMIT 7', 'XTRIM key MINID = 1-1'],
      ['XTRIM key MAXLEN = 5', 'XTRIM key MAXLEN = 5'],
    ];
    const commands = cases.map(([command]) => command.split(' '));
    const wanted = cases.map(([, sent]) => sent);
    assert.deepEqual(await filtered(commands), wanted);
    assert.deepEqual(await filtered(commands, 7), wanted);
  });

  test('tell the highest database that any of them names', async () => {
    const cases: readonly (readonly [string, number])[] = [
      ['SET SELECT 99', -1],
      ['select 7', 7],
      ['MOVE key 12', 12],
      ['SWAPDB 3 20', 20],
      ['COPY DB to', -1],
      ['COPY from to DB 8 REPLACE', 8],
      ['COPY from to REPLACE DB 9', 9],
      ['MSET a 5', -1],
    ];
    for (const [command, wanted] of cases) {
      const [batch] = await batchesOf(encodeCommand(command.split(' ')));
      assert.equal(highestDatabase(batch ?? assert.fail()), wanted, command);
    }
  });

  test('are named with what they are about', async () => {
    const stream = [['PING'], ['PEXPIREAT', 'a', '1'], ['PING'], ['LPUSH', 'the key', 'b'], ['MULTI']];
    const [batch] = await batchesOf(Buffer.concat(stream.map((words) => encodeCommand(words))));
    const { describe } = effectiveCommands(batch ?? assert.fail(), { map: (atMs) => atMs, fieldShiftMs: 0 });
    const names = [0, 1, 2].map((index) => describe(index));
    assert.deepEqual(names, ['the command PEXPIREAT of "a"', 'the command LPUSH of "the key"', 'the command MULTI']);
  });
});
