import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { needs } from '../../servers/needs.ts';
import { startRedis } from '../../servers/redis.ts';
import { record } from './captured.ts';
import { digests } from './fill.ts';
import { restore } from './restoring.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const LIMIT_MS = 60_000;
/** What servers and tests may take. */
const SLACK_MS = 20_000;

/** Keys by name, with the time that they have left, in ms; -1 for those that don't expire. */
async function timesLeft(server: Parameters<typeof digests>[0]): Promise<Readonly<Record<string, number>>> {
  const found = [...(await digests(server))].map(([key, { expiresAtMs }]) => [key.slice(2), expiresAtMs] as const);
  return Object.fromEntries(found.map(([key, atMs]) => [key, atMs < 0 ? -1 : atMs - Date.now()]));
}

function assertAbout(found: Readonly<Record<string, number>>, wanted: Readonly<Record<string, number>>): void {
  assert.deepEqual(Object.keys(found).toSorted(), Object.keys(wanted).toSorted());
  for (const [key, leftMs] of Object.entries(wanted)) {
    assert.ok(Math.abs((found[key] ?? 0) - leftMs) < SLACK_MS, `${key} has ${found[key]} ms left instead of ${leftMs}`);
  }
}

suite('keys that expire', { ...needs('redis-server', 'redis-cli'), timeout: LIMIT_MS }, () => {
  for (const hasLog of [false, true]) {
    const what = hasLog ? 'from the base and the log' : 'from the base';
    test(`have the time left that they had, ${what}`, async () => {
      await using source = await startRedis();
      await using target = await startRedis();
      await using folder = temporaryFolder();
      await source.script(['SET base:hour x EX 3600', 'SET base:days x EX 259200', 'SET base:ever x']);
      // An outage of six hours: the base and the log were recorded then.
      await using recording = await record(source, () => Date.now() - 6 * HOUR_MS);
      if (hasLog) {
        await source.script([
          'SET log:hour x EX 3600',
          'SET log:days x EX 259200',
          'EXPIRE base:ever 7200',
          'SET log:ever x',
        ]);
      }
      const to = await recording.position();
      await restore(target, { recording, to, workFolder: folder.at('work') });
      // Without a log the moment is the RDB's own time, which is now.
      const laterMs = hasLog ? 6 * HOUR_MS : 0;
      const log = { 'log:hour': HOUR_MS, 'log:days': 3 * DAY_MS, 'log:ever': -1 };
      const wanted = {
        'base:hour': HOUR_MS,
        'base:days': 3 * DAY_MS,
        'base:ever': hasLog ? 2 * HOUR_MS : -1,
        ...(hasLog && log),
      };
      const shifted = Object.entries(wanted).map(
        ([key, leftMs]) => [key, leftMs < 0 ? leftMs : leftMs + laterMs] as const,
      );
      const expected: Readonly<Record<string, number>> = Object.fromEntries(shifted);
      assertAbout(await timesLeft(target), expected);
    });
  }

  test('had as much left less as nothing was written before the moment that is restored', async () => {
    await using source = await startRedis();
    await using target = await startRedis();
    await using folder = temporaryFolder();
    await source.script(['SET base:hour x EX 3600']);
    await using recording = await record(source, () => Date.now() - 6 * HOUR_MS);
    await source.script(['SET log:hour x EX 3600']);
    const to = await recording.position();
    const atMs = Date.now() - 2 * HOUR_MS;
    await restore(target, { recording, to, workFolder: folder.at('work'), context: { atMs } });
    assertAbout(await timesLeft(target), { 'base:hour': 3 * HOUR_MS, 'log:hour': 3 * HOUR_MS });
  });

  test('expire when they would have where that is asked for', async () => {
    await using source = await startRedis();
    await using target = await startRedis();
    await using folder = temporaryFolder();
    await source.script(['SET base:soon x PX 500', 'SET base:hour x EX 3600']);
    await using recording = await record(source, () => Date.now() - 6 * HOUR_MS);
    await source.script(['SET log:soon x PX 500', 'SET log:hour x EX 3600']);
    const to = await recording.position();
    await sleep(600);
    await restore(target, { recording, to, workFolder: folder.at('work'), expiry: 'absolute' });
    assertAbout(await timesLeft(target), { 'base:hour': HOUR_MS, 'log:hour': HOUR_MS });
  });
});

suite('keys that expire, while a log is rolled forward,', {
  ...needs('redis-server', 'redis-cli'),
  timeout: LIMIT_MS,
}, () => {
  test('have what a condition in the log made of them', async () => {
    await using source = await startRedis();
    await using target = await startRedis();
    await using folder = temporaryFolder();
    await source.script(['SET longer x EX 3600', 'SET shorter x EX 259200', 'SET new x', 'SET again x EX 60']);
    await using recording = await record(source);
    const conditions = ['longer 259200 GT', 'longer 7200 GT', 'shorter 3600 LT', 'new 3600 NX', 'again 7200 XX'];
    await source.script(conditions.map((words) => `EXPIRE ${words}`));
    const to = await recording.position();
    await restore(target, { recording, to, workFolder: folder.at('work') });
    const wanted = { longer: 3 * DAY_MS, shorter: HOUR_MS, new: HOUR_MS, again: 2 * HOUR_MS };
    assertAbout(await timesLeft(target), wanted);
  });

  test('may do so in thousands of years', async () => {
    await using source = await startRedis();
    await using target = await startRedis();
    await using folder = temporaryFolder();
    await source.script(['SET base x EX 99999999999', 'SET log x', 'SET last x']);
    await using recording = await record(source);
    await source.script(['EXPIRE log 99999999999', 'PEXPIREAT last 9223372036854775807']);
    const to = await recording.position();
    await restore(target, { recording, to, workFolder: folder.at('work') });
    const { last = 0, ...found } = await timesLeft(target);
    assertAbout(found, { base: 99_999_999_999_000, log: 99_999_999_999_000 });
    assert.ok(last > 8e15);
  });

  test('do not expire by themselves while the log is rolled forward, which may keep them alive', async () => {
    await using source = await startRedis();
    await using target = await startRedis();
    await using folder = temporaryFolder();
    await source.script([
      'SET kept x PX 700',
      'SET counted 1 PX 700',
      'SET gone x PX 300',
      'SET renamed x PX 700',
      'SET moved x PX 700',
    ]);
    await using recording = await record(source);
    await source.script([
      'PERSIST kept',
      'INCR counted',
      'PEXPIRE counted 3600000',
      'RENAME renamed other',
      'MOVE moved 5',
      'EXPIRE other 7200',
    ]);
    await sleep(1000);
    // It reads that it is gone, of which replicas are told.
    await source.script(['GET gone', 'SELECT 5', 'GET moved']);
    const to = await recording.position();
    await restore(target, { recording, to, workFolder: folder.at('work') });
    assertAbout(await timesLeft(target), { kept: -1, counted: HOUR_MS, other: 2 * HOUR_MS });
    assert.equal(await target.call('get', 'counted'), '2');
  });
});
