import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { must } from '../../src/core/must.ts';
import type { Position } from '../../src/core/position.ts';
import { createSeededRandom } from '../../src/flow/random.ts';
import { temporaryFolder } from '../../src/testing/tree/temporary-folder.ts';
import { digests, fill } from '../engines/redis/fill.ts';
import { Followed, forever, openAt, placeOfUrl } from '../engines/redis/recording.ts';
import { kit } from '../golden/restore-moments.ts';
import { needs } from '../servers/needs.ts';
import { startRedis } from '../servers/redis.ts';
import type { RedisServer } from '../servers/redis.ts';
import { behind, EngineRepository, streamPosition, upTo } from './engine-repository.ts';

const NEEDED = { ...needs('redis-server', 'redis-cli'), timeout: 120_000 };

type Digests = Awaited<ReturnType<typeof digests>>;

/** What Redis holds when it is started on a folder as the kit left it. */
async function startedOn(folder: string): Promise<Digests> {
  await using scratch = temporaryFolder();
  await using server = await startRedis({ folder: scratch.path, args: ['--include', join(folder, 'redis.conf')] });
  assert.equal(await server.call('CONFIG', 'GET', 'dir').then((text) => text.split('\n').at(-1)), folder);
  assert.doesNotMatch(server.log(), /CRITICAL|Truncat/);
  return await held(server);
}

/** What the kit has moved all times of expiry by. */
function movedBy(folder: string): number {
  const commands = readFileSync(join(folder, 'appendonlydir', 'appendonly.aof.2.incr.aof'), 'latin1');
  return Number(commands.trimEnd().split('\r\n').at(-1));
}

function moved(digests: Digests, byMs: number): Digests {
  const move = (atMs: number): number => (atMs < 0 ? atMs : atMs + byMs);
  return new Map(
    [...digests].map(([name, { digest, expiresAtMs }]) => [name, { digest, expiresAtMs: move(expiresAtMs) }]),
  );
}

/** Restores and starts, and compares with what was held at the mark, but that all times of expiry are moved. */
async function assertRestored(repository: string, id: string, folder: string, expected: Digests): Promise<void> {
  const fromMs = Date.now();
  const ended = kit('restore', repository, id, folder);
  assert.equal(ended.status, 0, ended.err);
  const byMs = movedBy(join(folder, 'main'));
  const atMs = Date.parse(/^restoring the mark \S+ of (\S+)/.exec(ended.err)?.[1] ?? '');
  assert.ok(byMs >= fromMs - atMs && byMs <= Date.now() - atMs);
  assert.deepEqual(await startedOn(join(folder, 'main')), moved(expected, byMs));
}

/** In all databases, of which one has a number that a server with ordinary settings does not have. */
async function held(server: RedisServer): Promise<Digests> {
  const all = await digests(server);
  assert.ok(all.size > 0);
  const found = await server.call('-n', '40', 'GET', 'b');
  const digest = found.startsWith('MULTI') ? found : 'none';
  return new Map([...all, ['40/b', { digest, expiresAtMs: -1 }]]);
}

async function write(server: RedisServer, ...commands: readonly (readonly (string | Uint8Array)[])[]): Promise<void> {
  await server.pipe(commands);
}

test('the kit brings Redis to each byte of its log, by whole commands and transactions', NEEDED, async () => {
  await using out = temporaryFolder();
  await using server = await startRedis({ args: ['--databases', '64'] });
  await fill(server, createSeededRandom('kit'));
  await using recorder = await openAt(placeOfUrl(server.url));
  const from = await must(recorder.begin, 'a beginning').call(recorder, forever);
  await using followed = new Followed(await must(recorder.openLog, 'a log').call(recorder, from, forever));
  await using repository = await EngineRepository.create('redis');
  {
    await using base = await recorder.openBase(forever);
    await repository.base(base);
  }
  const moments = new Map<string, { readonly position: Position; readonly held: Digests }>();
  const head = async (): Promise<Position> => {
    const position = await must(recorder.head, 'a head').call(recorder, forever);
    await followed.upTo(position);
    return position;
  };
  const remember = async (what: string): Promise<void> => {
    moments.set(what, { position: await head(), held: await held(server) });
  };
  await remember('the base alone');
  await write(server, ['SET', 'first', 'x'], ['SELECT', '3'], ['SET', 'int8', 'changed'], ['DEL', 'no such key']);
  await remember('some commands');
  const random = createSeededRandom('large');
  await write(
    server,
    ['MULTI'],
    ['SET', 'a', random.bytes(400_000)],
    ['SELECT', '40'],
    ['SET', 'b', 'MULTI\r\n'],
    ['EXEC'],
  );
  await remember('a transaction');
  await write(server, ['SET', 'kept', 'x', 'PX', '86400000'], ['XADD', 'stream', '*', 'n', '9'], ['FUNCTION', 'FLUSH']);
  await server.call('CONFIG', 'SET', 'repl-ping-replica-period', '1');
  await server.script(['SET waited x', 'WAIT 2 1500']);
  await remember('acknowledged');
  await write(server, ['FLUSHDB'], ['SET', 'last', random.bytes(3_000_000)]);
  await remember('the end');
  await server.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0');
  await server.call('SET', 'brief', 'x', 'PX', '1');
  const end = await head();
  const middle = must(moments.get('a transaction'), 'a moment').position;
  await repository.log(from, upTo(followed.pieces, middle));
  await repository.log(middle, upTo(behind(followed.pieces, middle), end));

  const all = followed.bytes(from);
  const cutAt = (what: string, offset: number, moment: string): void => {
    const { held } = must(moments.get(moment), moment);
    moments.set(what, { position: streamPosition(end, BigInt(from.order) + BigInt(offset)), held });
  };
  const [begun, done] = [all.indexOf('\r\nMULTI\r\n'), all.indexOf('\r\nEXEC\r\n')];
  cutAt('a transaction that has begun', begun + '\r\nMULTI\r\n'.length, 'some commands');
  cutAt('within a value of a transaction', begun + 200_000, 'some commands');
  cutAt('within the end of a transaction', done + 5, 'some commands');
  cutAt('behind the end of a transaction', done + '\r\nEXEC\r\n'.length, 'a transaction');
  cutAt('within the last value', all.indexOf('brief') - 1_000, 'the end');
  assert.ok(all.includes('GETACK') && all.includes('ping'), 'what only replicas need is in the stream too');
  const beforeLast = new Map(must(moments.get('the end'), 'the end').held);
  assert.ok(beforeLast.delete('0/last'));
  moments.set('within the last value', { ...must(moments.get('within the last value'), 'it'), held: beforeLast });

  const [, briefMs] = /brief\r\n\$1\r\nx\r\n\$4\r\nPXAT\r\n\$13\r\n(\d+)/i.exec(all.toString('latin1')) ?? [];
  const { held: first } = must(moments.get('acknowledged'), 'a moment');
  const brief = { ...must(first.get('0/kept'), 'the same value'), expiresAtMs: Number(briefMs) };
  const { held: last } = must(moments.get('the end'), 'the end');
  moments.set('a key whose time has run out since', { position: end, held: new Map([...last, ['0/brief', brief]]) });

  const ids = new Map<string, string>();
  for (const [what, { position }] of moments) ids.set(what, await repository.mark(position));
  const path = out.at('repository');
  await repository.export(path);
  for (const [what, id] of ids) {
    await assertRestored(path, id, out.at(id), must(moments.get(what), what).held);
    rmSync(out.at(id), { recursive: true });
  }

  const listed = kit('ls', path, 'latest', 'main');
  assert.equal(listed.status, 0, listed.err);
  assert.match(listed.out, /^ *\d+ dump\.rdb {2}of redis 7\.\S+ at [0-9a-f]{40}:\d+\n$/);
  assert.match(listed.err, /this is its base at [0-9a-f]{40}:\d+; a restore brings it to [0-9a-f]{40}:\d+\n/);
  assert.equal(kit('ls', path, 'latest', 'main', 'other').status, 4);
  assert.match(
    kit('list', path).out,
    /1 entries +\d+ bytes {2}redis, and \d segments of its log up to [0-9a-f]{40}:\d+/,
  );
  const verified = kit('verify', path);
  assert.deepEqual([verified.status, verified.err], [0, '']);
  assert.match(kit('restore', path, 'latest', out.at('some'), '--only', 'a').err, /main is restored whole/);

  // Without a part of its log there is nothing to start a server on by mistake.
  const bodies = readdirSync(join(path, 'logs'), { recursive: true, withFileTypes: true });
  for (const body of bodies) if (body.isFile()) rmSync(join(body.parentPath, body.name));
  const lost = kit('restore', path, 'latest', out.at('lost'));
  assert.equal(lost.status, 5);
  assert.ok(!existsSync(out.at('lost', 'main')));
  assert.match(readFileSync(out.at('lost', 'restore-notes.txt'), 'utf8'), /the log up to the mark is lost/);
});
