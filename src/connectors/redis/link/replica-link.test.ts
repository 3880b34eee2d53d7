import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { isTidemarkError } from '../../../core/errors.ts';
import { must } from '../../../core/must.ts';
import type { Clock, Run } from '../../../core/run.ts';
import { createSystemClock } from '../../../flow/clock.ts';
import { temporaryFolder } from '../../../testing/tree/temporary-folder.ts';
import { ReplicaLink } from './replica-link.ts';

const ID = 'a'.repeat(40);
const run: Run = { signal: new AbortController().signal };
const clock = createSystemClock();

/** Hours pass in seconds. */
const hurried: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now() * 100,
  sleep: (delayMs, inner) => clock.sleep(delayMs / 100, inner),
};

/** A master that answers the greeting, and to PSYNC says `answer` in these pieces. `heard` is all that it was sent. */
async function scripted(answer: readonly string[], greeting: Readonly<Record<string, string>> = {}) {
  const sockets: Socket[] = [];
  const state = { heard: '' };
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    let open = '';
    socket.on('data', (bytes) => {
      state.heard += bytes.toString('latin1');
      open += bytes.toString('latin1');
      const [, word] = /^\*\d+\r\n\$\d+\r\n([A-Z]+)\r\n(?:[^]*\r\n)?$/.exec(open) ?? [];
      if (word === undefined) return;
      const isAck = open.includes('\r\nACK\r\n');
      const isVersion = open.includes('\r\nversion\r\n');
      open = '';
      if (word === 'PSYNC') void say(socket, answer);
      else if (!isAck) socket.write(greeting[isVersion ? 'version' : word] ?? '+OK\r\n');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    state,
    say: (text: string) => must(sockets.at(-1), 'a connection').write(text, 'latin1'),
    place: { host: '127.0.0.1', port, password: async () => undefined },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function say(socket: Socket, pieces: readonly string[]): Promise<void> {
  for (const piece of pieces) {
    socket.write(piece, 'latin1');
    await clock.sleep(2, run);
  }
}

async function taken(link: ReplicaLink, count: number): Promise<string> {
  const pieces: Buffer[] = [];
  while (Buffer.concat(pieces).byteLength < count) {
    await link.arrivedWithin(5_000, run);
    pieces.push(...link.take());
  }
  return Buffer.concat(pieces).toString('latin1');
}

const MARK = 'm'.repeat(40);
const TRANSFERS: Readonly<Record<string, readonly string[]>> = {
  'by its length, in one piece': [`+FULLRESYNC ${ID} 7\r\n$5\r\nREDIS*1\r\n$4\r\nPING\r\n`],
  'by its length, in pieces with newlines before': [
    '\n',
    '\n\n',
    `+FULLRESYNC ${ID}`,
    ' 7\r\n',
    '\n\n',
    '\n$5',
    '\r\nRED',
    'IS',
    '*1\r\n$4\r\nPI',
    'NG\r\n',
  ],
  'by a mark, in pieces': [
    `\n+FULLRESYNC ${ID} 7\r\n\n`,
    `$EOF:${MARK}\r`,
    '\nREDIS',
    MARK.slice(0, 10),
    MARK.slice(10),
    '*1\r\n$4\r\nPING\r\n',
  ],
  'by a mark, with the stream right behind it': [
    `+FULLRESYNC ${ID} 7\r\n$EOF:${MARK}\r\nREDIS${MARK}*1\r\n$4\r\nPING\r\n`,
  ],
};

for (const [title, answer] of Object.entries(TRANSFERS)) {
  test(`an RDB and what follows it are told apart: ${title}`, async () => {
    await using folder = temporaryFolder();
    await using master = await scripted(answer);
    await using link = await ReplicaLink.open(master.place, clock, run);
    await link.ask(undefined, run);
    assert.deepEqual(await link.answer(run), { kind: 'full', place: { replId: ID, offset: 7n } });
    await link.receiveRdb(folder.at('dump.rdb'), run);
    assert.equal(readFileSync(folder.at('dump.rdb'), 'latin1'), 'REDIS');
    assert.equal(link.offset, 7n);
    assert.equal(await taken(link, 14), '*1\r\n$4\r\nPING\r\n');
    assert.equal(link.offset, 21n);
  });
}

for (const [answer, replId] of [
  ['+CONTINUE\r\n', ID],
  [`+CONTINUE ${'b'.repeat(40)}\r\n`, 'b'.repeat(40)],
] as const) {
  test(`a link goes on after its place: ${answer.trim().slice(0, 12)}`, async () => {
    await using master = await scripted([`\n${answer}abc`]);
    await using link = await ReplicaLink.open(master.place, clock, run);
    await link.ask({ replId: ID, offset: 41n }, run);
    assert.deepEqual(await link.answer(run), { kind: 'continued', replId });
    assert.match(master.state.heard, new RegExp(`PSYNC\\r\\n\\$40\\r\\n${ID}\\r\\n\\$2\\r\\n42\\r\\n`));
    assert.equal(await taken(link, 3), 'abc');
    assert.equal(link.offset, 44n);
  });
}

test('a master hears each second how far we are, and at once when it asks', async () => {
  await using master = await scripted(['+CONTINUE\r\n']);
  await using link = await ReplicaLink.open(master.place, clock, run);
  await link.ask({ replId: ID, offset: 41n }, run);
  await link.answer(run);
  const acks = (offset: number): number => master.state.heard.split(`ACK\r\n$2\r\n${offset}\r\n`).length - 1;
  while (acks(41) < 2) await clock.sleep(5, run);
  link.acknowledge(50n);
  while (acks(50) < 1) await clock.sleep(5, run);
  const getAck = '*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n';
  const before = acks(50);
  master.say(getAck);
  assert.equal(await taken(link, getAck.length), getAck);
  while (acks(50) === before) await clock.sleep(1, run);
});

test('a master hears which version we read; one that knows of none is followed all the same', async () => {
  for (const answer of ['+OK\r\n', '-ERR Unrecognized REPLCONF option: version\r\n']) {
    await using master = await scripted(['+CONTINUE\r\n'], { version: answer });
    await using link = await ReplicaLink.open(master.place, clock, run);
    assert.match(master.state.heard, /REPLCONF\r\n\$7\r\nversion\r\n\$5\r\n9\.0\.0\r\n/);
    await link.ask({ replId: ID, offset: 41n }, run);
    assert.equal((await link.answer(run)).kind, 'continued');
  }
  const denied = { version: '-NOPERM this user has no permissions\r\n' };
  await using master = await scripted([], denied);
  await assert.rejects(ReplicaLink.open(master.place, clock, run), /no permissions/);
});

test('a master that says nothing any more is noticed', async () => {
  await using master = await scripted(['+CONTINUE\r\n']);
  await using link = await ReplicaLink.open(master.place, hurried, run);
  await link.ask({ replId: ID, offset: 41n }, run);
  await link.answer(run);
  await assert.rejects(
    taken(link, 1),
    (error) => isTidemarkError(error, 'STORE_UNREACHABLE') && /nothing for 60 s/.test(error.message),
  );
});

test('refusals are told, and those that pass by themselves are for trying again', async () => {
  const refusal = async (answer: readonly string[], greeting?: Readonly<Record<string, string>>): Promise<unknown> => {
    await using master = await scripted(answer, greeting);
    try {
      await using link = await ReplicaLink.open(master.place, clock, run);
      await link.ask(undefined, run);
      return await link.answer(run);
    } catch (error) {
      return error;
    }
  };
  for (const line of ['-NOMASTERLINK Can’t SYNC while not connected with my master', '-LOADING Redis is loading']) {
    const error = await refusal([`${line}\r\n`]);
    assert.ok(isTidemarkError(error, 'STORE_UNREACHABLE') && error.disposition === 'retry', line);
  }
  const loading = await refusal([], { PING: '-LOADING Redis is loading the dataset in memory\r\n' });
  assert.ok(isTidemarkError(loading, 'STORE_UNREACHABLE') && loading.disposition === 'retry');
  const denied = await refusal(["-NOPERM this user has no permissions to run the 'psync' command\r\n"]);
  assert.ok(isTidemarkError(denied) && denied.hint.includes('+psync'));
  const strange = await refusal(['220 mail.example ESMTP\r\n']);
  assert.ok(isTidemarkError(strange, 'STORE_UNREACHABLE'));
  const endless = await refusal(['x'.repeat(10_000)]);
  assert.ok(isTidemarkError(endless, 'STORE_UNREACHABLE'));
});

test('a transfer that ends early fails, and gives no file for whole', async () => {
  await using folder = temporaryFolder();
  await using master = await scripted([`+FULLRESYNC ${ID} 7\r\n$50\r\nREDIS`]);
  await using link = await ReplicaLink.open(master.place, clock, run);
  await link.ask(undefined, run);
  await link.answer(run);
  const receiving = link.receiveRdb(folder.at('dump.rdb'), run);
  receiving.catch(() => undefined);
  await clock.sleep(20, run);
  await master[Symbol.asyncDispose]();
  await assert.rejects(receiving, (error) => isTidemarkError(error, 'STORE_UNREACHABLE'));
});
