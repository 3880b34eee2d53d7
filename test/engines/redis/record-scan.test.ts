import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTidemarkError } from '../../../src/core/errors.ts';
import { recordInMemory } from '../../../src/testing/tree/memory-base.ts';
import { startRedis } from '../../servers/redis.ts';
import { digestOf, forever, openAt, placeOfUrl, startWith } from './recording.ts';

const LIBRARY = '#!lua name=mylib\nredis.register_function("hello", function() return 1 end)';

test('a scan finds all values, databases, expiries and functions', async () => {
  await using server = await startRedis();
  await server.pipe([
    ['SET', 'string', 'x'],
    ['SET', 'number', '12345'],
    ['SET', 'expires', 'x', 'EX', '1000'],
    ['HSET', 'hash', 'a', 'b'],
    ['RPUSH', 'list', ...Array.from({ length: 5_000 }, (_, index) => `item ${index}`)],
    ['ZADD', 'sorted', '1.5', 'a', '-inf', 'b'],
    ['SADD', 'set', '1', '2', '3'],
    ['XADD', 'stream', '*', 'a', 'b'],
    ['XGROUP', 'CREATE', 'stream', 'group', '$'],
    ['PFADD', 'count', 'a', 'b'],
    ['SET', 'x'.repeat(100), 'long name'],
    ['SET', 'y'.repeat(20_000), 'longer name'],
    ['SET', 'large', 'z'.repeat(20_000_000)],
    ['SELECT', '7'],
    ['SET', 'elsewhere', Buffer.from([0, 255, 13, 10])],
    ['FUNCTION', 'LOAD', LIBRARY],
  ]);
  await server.call('DEBUG', 'POPULATE', '5000');
  await using recorder = await openAt(placeOfUrl(server.url, { source: 'scan' }));
  assert.equal(recorder.exact, 'observation');
  assert.deepEqual([recorder.head, recorder.openLog, recorder.begin], [undefined, undefined, undefined]);
  const base = await recordInMemory(await recorder.openBase(forever), forever);
  await using loaded = await startWith(base);
  assert.equal(await digestOf(loaded.server), await digestOf(server));
  assert.match(await loaded.server.call('FUNCTION', 'LIST'), /mylib/);
  assert.equal(await loaded.server.call('PEXPIRETIME', 'expires'), await server.call('PEXPIRETIME', 'expires'));
});

test('keys that SCAN tells twice, while its table grows, are in a base once', async () => {
  await using server = await startRedis();
  await server.call('DEBUG', 'POPULATE', '3000');
  await using recorder = await openAt(placeOfUrl(server.url, { source: 'scan' }));
  const filling = server.pipe(Array.from({ length: 50_000 }, (_, index) => ['SET', `more:${index}`, 'x']));
  const base = await recordInMemory(await recorder.openBase(forever), forever);
  await filling;
  // A server refuses to start on an RDB that has a key twice.
  await using loaded = await startWith(base);
  assert.ok(Number(await loaded.server.call('DBSIZE')) >= 3_000);
});

test('an empty server has a base, and a scan needs no more than the rights to read', async () => {
  const users = [
    { name: 'reader', password: 'x', rules: '~* +info +scan +dump +pexpiretime +multi +exec +select +function|dump' },
    { name: 'blind', password: 'x', rules: '~* +info +scan' },
  ];
  await using server = await startRedis({ users });
  const at = (user: string) => placeOfUrl(server.url.replace('//', `//${user}@`), { password: 'x', source: 'scan' });
  await using recorder = await openAt(at('reader'));
  {
    const base = await recordInMemory(await recorder.openBase(forever), forever);
    await using loaded = await startWith(base);
    assert.equal(await loaded.server.call('DBSIZE'), '0');
  }
  await server.call('SET', 'a', 'b');
  const base = await recordInMemory(await recorder.openBase(forever), forever);
  await using loaded = await startWith(base);
  assert.equal(await loaded.server.call('GET', 'a'), 'b');
  await using blind = await openAt(at('blind'));
  await assert.rejects(
    blind.openBase(forever),
    (error) => isTidemarkError(error, 'STORE_UNREACHABLE') && /lacks a permission/.test(error.message),
  );
});

test('who changes between scan and replica begins a new lineage', async () => {
  await using server = await startRedis();
  const [scan, psync] = [placeOfUrl(server.url, { source: 'scan' }), placeOfUrl(server.url)];
  await using first = await openAt(scan);
  const { cut } = (await recordInMemory(await first.openBase(forever), forever)).end;
  await using second = await openAt(psync, { previous: cut });
  assert.notEqual(second.lineage.id, cut.lineage);
  const exact = (await recordInMemory(await second.openBase(forever), forever)).end.cut;
  await using third = await openAt(scan, { previous: exact });
  assert.notEqual(third.lineage.id, exact.lineage);
});
