import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { readLogBytes } from '../../core/log-bytes.ts';
import { orderOf } from '../../core/position.ts';
import type { LogPiece } from '../../core/recorder.ts';
import type { Clock } from '../../core/run.ts';
import { createSystemClock } from '../../flow/clock.ts';
import { RedisLog } from './log.ts';
import type { RedisLogOptions } from './log.ts';
import { encodeCommand } from './resp.ts';

const run = { signal: new AbortController().signal };
const PING = encodeCommand(['PING']);
const SET = encodeCommand(['SET', 'key', 'value']);
/** Looking at all PINGs again at each would take longer by far. */
const LIMIT_MS = 60_000;

/** A log of what a master sends at once, piece by piece, until it ends. `then`: what it does first. */
function logOf(
  chunks: Iterable<Uint8Array>,
  then: () => Promise<void> = async () => undefined,
  clock: Clock = createSystemClock(),
): RedisLog {
  const left = chunks[Symbol.iterator]();
  let offset = 0n;
  let next = left.next();
  const link: RedisLogOptions['link'] = {
    server: { host: 'master', port: 1, password: async () => undefined },
    get offset() {
      return offset;
    },
    hasMore: true,
    take() {
      if (next.done === true) return [];
      const chunk = Buffer.from(next.value);
      offset += BigInt(chunk.byteLength);
      next = left.next();
      return [chunk];
    },
    async arrivedWithin() {
      if (next.done !== true) return;
      await then();
      throw new Error('it has ended');
    },
    acknowledge: () => undefined,
    async [Symbol.asyncDispose]() {},
  };
  const options = {
    link,
    clock,
    positionAt: (at: bigint) => ({ lineage: 'a', order: orderOf(at), resume: `a:${at}` }),
    headOffset: async () => offset,
    assertMaster: async () => undefined,
  };
  return new RedisLog(options, run);
}

async function piecesOf(log: RedisLog): Promise<readonly LogPiece[]> {
  const pieces: LogPiece[] = [];
  await assert.rejects(async () => {
    for await (const batch of log) pieces.push(...batch);
  }, /it has ended/);
  return pieces;
}

function bytesOf(pieces: readonly LogPiece[]): readonly Buffer[] {
  return pieces.map(({ changes }) => Buffer.concat(changes.map((change) => readLogBytes(change).bytes)));
}

suite('the log of a master', { timeout: LIMIT_MS }, () => {
  test('holds PINGs back until something follows on them', async () => {
    const pieces = await piecesOf(logOf([PING, PING, SET, PING, SET, SET]));
    assert.deepEqual(bytesOf(pieces), [Buffer.concat([PING, PING, SET]), Buffer.concat([PING, SET]), SET]);
  });

  test('lets no more PINGs go than somebody waits for', async () => {
    const log = logOf([Buffer.concat([PING, PING, PING]), PING, SET]);
    log.want(BigInt(2 * PING.byteLength));
    const twice = Buffer.concat([PING, PING]);
    assert.deepEqual(bytesOf(await piecesOf(log)), [twice, Buffer.concat([twice, SET])]);
  });

  test('stands before the PINGs that it holds back, but behind those that somebody waits for', async () => {
    const standing: bigint[] = [];
    const log = logOf([SET, PING, PING], async () => {
      const end = BigInt(SET.byteLength + 2 * PING.byteLength);
      standing.push(log.standing(end));
      for (const wanted of [BigInt(SET.byteLength + PING.byteLength), end]) {
        log.want(wanted);
        standing.push(log.standing(end));
      }
    });
    await piecesOf(log);
    const wanted = [0, 1, 2].map((pings) => BigInt(SET.byteLength + pings * PING.byteLength));
    assert.deepEqual(standing, wanted);
  });

  test('says of a master that was silent before it was given up when it was heard, and of nothing that it was later', async () => {
    let nowMs = 1_000;
    const silent = async (): Promise<void> => {
      nowMs += 60_000;
    };
    const log = logOf([SET, PING], silent, { ...createSystemClock(), nowMs: () => nowMs });
    const pieces = await piecesOf(log);
    assert.deepEqual(
      pieces.map(({ commit }) => commit?.atMs),
      [1_000, 1_000],
    );
    assert.equal(log.heardMs, 1_000);
  });

  test('lets PINGs go when they are many, and looks at each once', async () => {
    const count = 100_000;
    const pings = Iterator.from({ next: () => ({ done: false, value: PING }) }).take(count);
    const found = bytesOf(await piecesOf(logOf({ [Symbol.iterator]: () => pings })));
    assert.equal(
      found.reduce((sum, { byteLength }) => sum + byteLength, 0),
      count * PING.byteLength,
    );
    const most = Math.max(...found.map(({ byteLength }) => byteLength));
    assert.ok(most >= 64 * 1024 && most < 64 * 1024 + PING.byteLength, `${most} bytes are let go at once`);
  });
});
