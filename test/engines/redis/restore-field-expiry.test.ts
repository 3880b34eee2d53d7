import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { needs } from '../../servers/needs.ts';
import { startRedis } from '../../servers/redis.ts';
import { needsValkey, valkeyServer } from '../../servers/valkey.ts';
import { record } from './captured.ts';
import { clientOf } from './fill.ts';
import { restore } from './restoring.ts';

const LIMIT_MS = 60_000;
const FROM_FILES = ['--appendonly', 'yes'];
/** With 3,000 of them a hash is not held whole. */
const LONG = 'x'.repeat(500);

type Into = 'a server' | 'a server, as a part of it' | 'files';

/** A part is made by the `redis-server` of this host, which has to load what the source gave. */
const KINDS: readonly {
  readonly name: string;
  readonly program: () => Promise<string>;
  readonly intos: readonly Into[];
}[] = [
  { name: 'Redis', program: async () => 'redis-server', intos: ['a server', 'a server, as a part of it', 'files'] },
  { name: 'Valkey', program: valkeyServer, intos: ['a server', 'files'] },
];

for (const { name, program: find, intos } of KINDS) {
  const needed = name === 'Valkey' ? needsValkey() : needs('redis-server', 'redis-cli');
  suite(`fields of hashes of ${name} that expire`, { ...needed, timeout: LIMIT_MS }, () => {
    for (const into of intos) {
      test(`have the time left that they had, restored into ${into}`, async (t) => {
        const program = await find();
        await using source = await startRedis({ program });
        await using target = await startRedis({ program });
        await using folder = temporaryFolder();
        const { redis_version: version = '', valkey_version: valkey } = await source.info('server');
        if (valkey === undefined && version.localeCompare('7.4', 'en', { numeric: true }) < 0) {
          t.skip('needs Redis 7.4');
          return;
        }
        const many = Array.from({ length: 3000 }, (_, index) => `f${index} ${LONG}`).join(' ');
        await source.script([
          'SET text x',
          'HSET small kept x longer x gone x never x base x soon x',
          'HPEXPIRE small 900 FIELDS 3 kept longer gone',
          'HEXPIRE small 3600 FIELDS 2 base soon',
          'SELECT 3',
          `HSET large ${many}`,
          'HEXPIRE large 7200 FIELDS 2 f0 f2999',
        ]);
        await using recording = await record(source);
        await source.script([
          'HPERSIST small FIELDS 1 kept',
          'HEXPIRE small 7200 GT FIELDS 3 longer soon base',
          'HEXPIRE small 3600 LT FIELDS 1 base',
          'HPEXPIRE small 500 FIELDS 1 soon',
          'HPEXPIREAT small 70368744177663 FIELDS 1 never',
          'SELECT 3',
          'HEXPIRE large 3600 FIELDS 2 f1 f2999',
        ]);
        await sleep(1200);
        await source.script(['HSET small last x']);
        const to = await recording.position();
        const workFolder = folder.at('work');
        if (into === 'files') {
          await restore(target, { recording, to, workFolder, context: { target: folder.at('data') } });
        } else {
          const context = into === 'a server' ? {} : { only: ['*'] };
          await restore(target, { recording, to, workFolder, context });
        }
        await using started =
          into === 'files' ? await startRedis({ program, folder: folder.at('data'), args: FROM_FILES }) : target;
        const fields = ['kept', 'longer', 'gone', 'base', 'soon', 'last'];
        const ask = async (key: string, database: number, names: readonly string[]): Promise<readonly number[]> => {
          const line = `HTTL ${key} FIELDS ${names.length} ${names.join(' ')}`;
          return (await started.script([`SELECT ${database}`, line])).split('\n').slice(1).map(Number);
        };
        const assertNear = (found: readonly number[], wanted: readonly number[]): void => {
          assert.equal(found.length, wanted.length);
          for (const [at, seconds] of wanted.entries()) {
            assert.ok(Math.abs((found[at] ?? 0) - seconds) < 20, found.join());
          }
        };
        assert.equal(await started.call('GET', 'text'), 'x');
        assertNear(await ask('small', 0, fields), [-1, 7200, -2, 3600, -2, -1]);
        assertNear(await ask('large', 3, ['f0', 'f1', 'f2', 'f2999']), [7200, 3600, -1, 3600]);
        const [never = 0] = await ask('small', 0, ['never']);
        assert.ok(never > 5e10);
      });
    }
  });

  test(`fields of hashes of ${name} that a log brings by RESTORE are moved as keys are`, {
    ...needed,
    timeout: LIMIT_MS,
  }, async (t) => {
    const program = await find();
    await using source = await startRedis({ program });
    await using target = await startRedis({ program });
    await using folder = temporaryFolder();
    if ((await source.call('COMMAND', 'INFO', 'HPEXPIREAT')).trim() === '') {
      t.skip('needs Redis 7.4');
      return;
    }
    await using client = await clientOf(source);
    const run = { signal: t.signal };
    const many = Array.from({ length: 1000 }, (_, index) => [`f${index}`, 'x'.repeat(index % 100)]).flat();
    for (const [key, pairs] of [
      ['small', ['f0', 'x', 'f1', 'x']],
      ['large', many],
    ] as const) {
      await client.call(['HSET', `${key}:old`, ...pairs], run);
      await client.call(['HEXPIRE', `${key}:old`, '3600', 'FIELDS', '1', 'f1'], run);
    }
    const HOUR_MS = 3_600_000;
    await using recording = await record(source, () => Date.now() - HOUR_MS);
    for (const key of ['small', 'large']) {
      const dump = await client.call(['DUMP', `${key}:old`], run);
      assert.ok(dump instanceof Uint8Array);
      await client.call(['RESTORE', `${key}:new`, '3600000', dump], run);
    }
    const to = await recording.position();
    for (const [expiry, seconds] of [
      ['remaining', 7200],
      ['absolute', 3600],
    ] as const) {
      const context = { replace: true };
      await restore(target, { recording, to, workFolder: folder.at(expiry), expiry, context });
      for (const key of ['small', 'large']) {
        for (const name of [`${key}:old`, `${key}:new`]) {
          const [none, left = '0'] = (await target.call('HTTL', name, 'FIELDS', '2', 'f0', 'f1')).split('\n');
          assert.equal(none, '-1');
          assert.ok(Math.abs(Number(left) - seconds) < 60, `${name} with ${expiry}: ${left}`);
        }
        const left = Number(await target.call('TTL', `${key}:new`));
        assert.ok(Math.abs(left - seconds) < 60, `${key}:new with ${expiry}: ${left}`);
      }
    }
  });
}
