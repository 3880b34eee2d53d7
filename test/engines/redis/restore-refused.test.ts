import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { encodeOrigin } from '../../../src/connectors/redis/base.ts';
import { diagnoseRedis } from '../../../src/connectors/redis/diagnose.ts';
import type { RedisPlace } from '../../../src/connectors/redis/place.ts';
import { placeAt } from '../../../src/connectors/redis/place.ts';
import { previewRestore } from '../../../src/connectors/redis/preview.ts';
import { openRedisRestorer } from '../../../src/connectors/redis/restorer.ts';
import { undoRestore } from '../../../src/connectors/redis/undo.ts';
import { isTidemarkError } from '../../../src/core/errors.ts';
import type { Position } from '../../../src/core/position.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { needs } from '../../servers/needs.ts';
import { startRedis } from '../../servers/redis.ts';
import type { RedisOptions, RedisServer } from '../../servers/redis.ts';
import { needsValkey, valkeyServer } from '../../servers/valkey.ts';
import { baseOf, placeOf, record, runtime } from './captured.ts';
import type { Recording } from './captured.ts';
import { contextOf, stage } from './restoring.ts';

const run = { signal: new AbortController().signal };
const LIMIT_MS = 60_000;
const GUIDE = readFileSync(new URL('../../../docs/guide/redis.md', import.meta.url), 'utf8');
const GUIDE_RULES = /^ACL SETUSER restorer on >PASSWORD (.*)$/m.exec(GUIDE)?.[1] ?? '';

async function into(
  place: RedisPlace,
  { recording, to, workFolder }: { readonly recording: Recording; readonly to: Position; readonly workFolder: string },
): Promise<void> {
  await using restorer = openRedisRestorer(place, contextOf({ workFolder, context: { replace: true } }));
  await restorer.restoreBase(recording.base, run);
  await restorer.rollForward?.(recording.log(to), to, run);
  await restorer.verify(run);
  await restorer.swap(run);
}

suite('a server that can’t take what is restored', { ...needs('redis-server', 'redis-cli'), timeout: LIMIT_MS }, () => {
  const refusing: readonly { readonly what: string; readonly options: RedisOptions; readonly told: RegExp }[] = [
    {
      what: 'whose user may not RESTORE',
      options: { users: [{ name: 'someone', password: 'x', rules: '~* &* +@all -restore' }] },
      told: /refuses RESTORE, .*NOPERM/,
    },
    {
      what: 'whose user may not do what the log does',
      options: { users: [{ name: 'someone', password: 'x', rules: `${GUIDE_RULES} -flushdb` }] },
      told: /refuses FLUSHDB, .*NOPERM/,
    },
    {
      what: 'whose user may not reach all keys',
      options: { users: [{ name: 'someone', password: 'x', rules: '~mine* +@all' }] },
      told: /refuses RESTORE, .*NOPERM/,
    },
    {
      what: 'that knows no RESTORE',
      options: { lines: ['rename-command RESTORE ""'] },
      told: /refuses RESTORE, .*unknown command/,
    },
    {
      what: 'that knows not what the log does',
      options: { lines: ['rename-command FLUSHDB ""'] },
      told: /refuses FLUSHDB, .*unknown command/,
    },
    {
      what: 'that has fewer databases, and does not say how many',
      options: { args: ['--databases', '4'], lines: ['rename-command CONFIG ""'] },
      told: /has fewer databases, and 7 are needed/,
    },
    {
      what: 'that may take less memory',
      options: { args: ['--maxmemory', '1200kb'] },
      told: /may take 1228800 bytes of memory/,
    },
  ];
  for (const { what, options, told } of refusing) {
    test(`${what}, is refused before anything of it is removed`, async () => {
      await using source = await startRedis();
      await using target = await startRedis(options);
      await using folder = temporaryFolder();
      await source.script(['select 6', 'set a 1', `set b ${'x'.repeat(400_000)}`]);
      await target.call('set', 'mine', '1');
      await using recording = await record(source);
      await source.script(['select 5', 'flushdb', 'select 6', 'incr a']);
      const to = await recording.position();
      const user = options.users?.[0];
      const place = { ...placeOf(target), ...(user && { user: user.name, password: async () => user.password }) };
      await assert.rejects(
        into(place, { recording, to, workFolder: folder.at('work') }),
        (error) => isTidemarkError(error, 'UNSUPPORTED') && told.test(error.message),
      );
      assert.equal(await target.call('keys', '*'), 'mine');
      if (!told.source.includes('RESTORE')) return;
      const { blockers } = await previewRestore(place, { runtime, id: undefined, replace: true }, run);
      assert.match(blockers.join(), told);
    });
  }
});

suite('what a restore needs of a server', { ...needs('redis-server', 'redis-cli'), timeout: LIMIT_MS }, () => {
  test('is told by doctor to users who lack it', async () => {
    await using server = await startRedis({ users: [{ name: 'weak', password: 'x', rules: '+ping +info +psync' }] });
    const place = { ...placeOf(server), user: 'weak', password: async () => 'x' };
    const hints = (await diagnoseRedis(place, runtime, run)).map(({ hint }) => hint).join('\n');
    assert.ok(GUIDE_RULES.length > 0 && hints.includes(GUIDE_RULES), hints);
  });

  test('is what the guide grants, and no more', async () => {
    await using source = await startRedis();
    const user = { name: 'restorer', password: 'x', rules: GUIDE_RULES };
    await using target = await startRedis({ users: [user] });
    await using folder = temporaryFolder();
    await source.script([
      'set a 1',
      `FUNCTION LOAD "#!lua name=mine\\nredis.register_function('f', function() return 1 end)"`,
    ]);
    await target.call('set', 'mine', '1');
    await using recording = await record(source);
    await source.script(['incr a', 'set soon 1 ex 5000', 'select 3', 'lpush l 1', 'publish c 1']);
    const to = await recording.position();
    const place = { ...placeOf(target), user: user.name, password: async () => user.password };
    const { blockers } = await previewRestore(place, { runtime, id: undefined, replace: true }, run);
    assert.deepEqual(blockers, []);
    await into(place, { recording, to, workFolder: folder.at('work') });
    assert.equal(await target.call('get', 'a'), '2');
    assert.match(await target.call('function', 'list'), /mine/);
    await undoRestore(place, { ...contextOf({ workFolder: folder.at('work') }), turn: 1 }, run);
    assert.equal(await target.call('keys', '*'), 'mine');
  });

  test('is missing for what no command can give, which is refused while it is verified', async () => {
    await using target = await startRedis();
    await using folder = temporaryFolder();
    const module = Buffer.concat([Buffer.of(247, 0x81), Buffer.alloc(8, 0x45), Buffer.of(2, 2, 2, 5, 0)]);
    const large = Buffer.alloc(2_000_000, 0x41);
    const head = Buffer.from([25, 1, 0x68, ...Buffer.alloc(8, 1), 0x80, 0, 0x1e, 0x84, 0x80]);
    for (const [part, told] of [
      [module, /the module .* keeps data beside the keys/],
      [Buffer.concat([head, large]), /the hash "h" is too large to move/],
    ] as const) {
      const rdb = Buffer.concat([Buffer.from('REDIS0012'), part, Buffer.of(255), Buffer.alloc(8)]);
      const origin = encodeOrigin({ server: 'redis', version: '7', replId: 'a'.repeat(40), offset: '0' });
      await using restorer = openRedisRestorer(placeOf(target), contextOf({ workFolder: folder.at('work') }));
      await restorer.restoreBase(baseOf(rdb, origin), run);
      await assert.rejects(restorer.verify(run), told);
    }
  });
});

test('the rights to give fields of hashes their expiry are asked for where a server knows them', {
  ...needsValkey(),
  timeout: LIMIT_MS,
}, async () => {
  const program = await valkeyServer();
  const users = ['', '-hpexpireat', '-hpexpiretime', '-hscan'].map((rule, index) => {
    return {
      name: `user${index}`,
      password: 'x',
      rules: `${GUIDE_RULES} ${rule}`,
      lacked: rule.slice(1).toUpperCase(),
    };
  });
  await using source = await startRedis({ program });
  await using target = await startRedis({ program, users });
  await using folder = temporaryFolder();
  await target.call('set', 'mine', '1');
  await source.script(['hset h f 1', 'hexpire h 5000 fields 1 f']);
  await using recording = await record(source);
  await source.call('set', 'a', '1');
  const to = await recording.position();
  for (const { name, lacked } of users.toReversed()) {
    const place = { ...placeOf(target), user: name, password: async () => 'x' };
    const { blockers } = await previewRestore(place, { runtime, id: undefined, replace: true }, run);
    const findings = await diagnoseRedis(place, runtime, run);
    const told = findings.filter(({ code }) => code === 'REDIS_RESTORE_PERMISSION').map(({ message }) => message);
    if (lacked === '') {
      assert.deepEqual([blockers, told], [[], []]);
      await into(place, { recording, to, workFolder: folder.at(name) });
      assert.ok(Number(await target.call('httl', 'h', 'fields', '1', 'f')) > 4000);
      continue;
    }
    const refused = new RegExp(`refuses ${lacked}, .*NOPERM`);
    assert.match(blockers.join(), refused);
    assert.match(told.join(), refused);
    await assert.rejects(into(place, { recording, to, workFolder: folder.at(name) }), refused);
    assert.equal(await target.call('keys', '*'), 'mine');
  }
});

suite('another server than the store’s', { ...needs('redis-server', 'redis-cli'), timeout: LIMIT_MS }, () => {
  test('is restored into without the store’s password, or with it when it asks', async () => {
    await using source = await startRedis({ password: 'secret' });
    await using folder = temporaryFolder();
    await source.call('set', 'a', '1');
    await using recording = await record(source);
    const to = await recording.position();
    for (const password of [undefined, 'secret']) {
      await using target = await startRedis(password === undefined ? {} : { password });
      const place = placeAt(placeOf(source), target.url);
      await into(place, { recording, to, workFolder: folder.at(`work-${password}`) });
      assert.equal(await target.call('get', 'a'), '1');
    }
  });

  test('that has come to the address meanwhile is not emptied', async () => {
    await using source = await startRedis();
    await using folder = temporaryFolder();
    await source.pipe(Array.from({ length: 50_000 }, (_, index) => ['SET', `k:${index}`, String(index)]));
    await using recording = await record(source);
    const to = await recording.position();
    const options = { recording, to, workFolder: folder.at('work') };
    let port: number;
    {
      await using target = await startRedis();
      ({ port } = target);
      await using restorer = await stage(target, options);
      const cutOff = assert.rejects(restorer.swap(run), (error) => isTidemarkError(error, 'STORE_UNREACHABLE'));
      while (Number(await target.call('dbsize')) < 100) continue;
      await target.kill();
      await cutOff;
    }
    await using other = await startRedis({ port });
    await other.script(['set x 1', 'set y 2', 'set z 3']);
    const again = openRedisRestorer(placeOf(other), contextOf(options));
    await assert.rejects(
      again.swap(run),
      (error) =>
        isTidemarkError(error, 'RESTORE_CONFLICT') && /nothing shows that it is the server/.test(error.message),
    );
    assert.equal(await other.call('dbsize'), '3');
    const allowed = { ...options, context: { replace: true } };
    await openRedisRestorer(placeOf(other), contextOf(allowed)).swap(run);
    assert.equal(await other.call('dbsize'), '50000');
    await undoTurn(other, allowed, 1);
    assert.equal(await other.call('dbsize'), '3');
  });

  test('the same server, started again with the part that it had got, is gone on with', async () => {
    await using source = await startRedis();
    await using folder = temporaryFolder();
    await using target = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
    await source.pipe(Array.from({ length: 50_000 }, (_, index) => ['SET', `k:${index}`, String(index)]));
    await using recording = await record(source);
    const options = { recording, to: await recording.position(), workFolder: folder.at('work') };
    await using restorer = await stage(target, options);
    const cutOff = assert.rejects(restorer.swap(run), (error) => isTidemarkError(error, 'STORE_UNREACHABLE'));
    while (Number(await target.call('dbsize')) < 100) continue;
    await target.kill();
    await cutOff;
    await target.start();
    assert.notEqual(await target.call('dbsize'), '0');
    await openRedisRestorer(placeOf(target), contextOf(options)).swap(run);
    assert.equal(await target.call('dbsize'), '50000');
    await undoTurn(target, options, 1);
    assert.equal(await target.call('dbsize'), '0');
  });
});

async function undoTurn(server: RedisServer, options: Parameters<typeof contextOf>[0], turn: number): Promise<void> {
  await undoRestore(placeOf(server), { ...contextOf(options), turn }, run);
}
