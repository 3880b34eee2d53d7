/**
 * Stamps one counter into four stores, step after step, until it is told to stop, and writes a line with the times of each step into a log: before the
 * first store, and after each one, in the order of `ENGINE_STORES`. What fails is tried again until it is done, so that a step is never left out.
 * Arguments: the folder, the log, and a file with the ports of Redis and PostgreSQL, which is read again after a failure. While there is a file `pause` in
 * the folder, it stands still between two steps, and `paused` is there.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Run } from '../../src/core/run.ts';
import { openEmbedded } from '../../src/connectors/embedded/connector.ts';
import { openClient } from '../../src/connectors/redis/resp-client.ts';
import type { RedisClient } from '../../src/connectors/redis/resp-client.ts';
import { SESSION_SECONDS, SESSIONS } from './engine-model.ts';
import type { Ports } from './engine-model.ts';

const [, , folder = '', log = '', portsFile = ''] = process.argv;
const PAUSE_STEP_MS = 5;
const RETRY_MS = 100;
const ATTEMPT_MS = 2_000;
const REPLICA_STEP_MS = 2;

let isStopped = false;
process.on('SIGTERM', () => {
  isStopped = true;
});
// A connection that breaks between two steps is noticed at the next one.
process.on('uncaughtException', (error) => process.stderr.write(`${error.message}\n`));

/** Ports, and whether a replica has to have what is written. */
const places = (): Ports => JSON.parse(readFileSync(portsFile, 'utf8')) as Ports; // the test wrote it

using catalog = openEmbedded(join(folder, 'catalog.db'), { durability: 'normal', busyTimeoutMs: 60_000 });
let redis: RedisClient | undefined;
let replica: RedisClient | undefined;
let postgres: pg.Client | undefined;

function writeFile(step: number): void {
  const target = join(folder, 'uploads', 'counter');
  mkdirSync(join(folder, 'uploads', `folder-${step % 5}`), { recursive: true });
  writeFileSync(
    join(folder, 'uploads', `folder-${step % 5}`, `file-${step % 40}`),
    `${step}\n${'x'.repeat(step % 3_000)}`,
  );
  writeFileSync(`${target}.tmp`, String(step));
  renameSync(`${target}.tmp`, target);
}

async function writeRedis(step: number): Promise<void> {
  const { redisPort, replicaPort } = places();
  const run = { signal: AbortSignal.timeout(ATTEMPT_MS) };
  redis ??= await clientAt(redisPort, run);
  const text = String(step);
  const commands: readonly (readonly string[])[] = [
    ['MULTI'],
    ['SET', 'counter', text],
    ['HSET', 'a/first', 'step', text, `field-${step % 50}`, text],
    ['ZADD', 'ranked', text, `member-${step % 200}`],
    ['LPUSH', 'recent', text],
    ['LTRIM', 'recent', '0', '99'],
    ['SET', `session/${step % SESSIONS}`, text, 'EX', String(SESSION_SECONDS)],
    ['SELECT', '3'],
    ['SET', 'z/last', text],
    ['XADD', 'events', 'MAXLEN', '100', `${step}-1`, 'step', text],
    ['SELECT', '0'],
    ['EXEC'],
  ];
  // A stream takes each id once: what was done before the answer was lost must not be done again.
  if (String(await redis.call(['GET', 'counter'], run)) !== text) {
    for (const command of commands) await redis.call(command, run);
  }
  if (replicaPort === undefined) return;
  replica ??= await clientAt(replicaPort, run);
  while (String(await replica.call(['GET', 'counter'], run)) !== text) await sleep(REPLICA_STEP_MS);
}

async function clientAt(port: number, run: Run): Promise<RedisClient> {
  return await openClient({ host: '127.0.0.1', port, password: async () => undefined }, run);
}

async function writePostgres(step: number): Promise<void> {
  postgres ??= await connected();
  await postgres.query('BEGIN');
  await postgres.query('UPDATE counter SET value = $1', [step]);
  await postgres.query('INSERT INTO steps (n, pad) VALUES ($1, $2) ON CONFLICT DO NOTHING', [
    step,
    'x'.repeat(step % 700),
  ]);
  await postgres.query('COMMIT');
}

async function connected(): Promise<pg.Client> {
  const { postgresPort } = places();
  const client = new pg.Client({
    host: '127.0.0.1',
    port: postgresPort,
    user: 'postgres',
    database: 'postgres',
    connectionTimeoutMillis: ATTEMPT_MS,
    query_timeout: ATTEMPT_MS,
  });
  client.on('error', () => {
    postgres = undefined;
  });
  await client.connect();
  return client;
}

/** Until it is done. A connection on which something failed is not used again. */
async function insist(write: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      await write();
      return;
    } catch {
      await postgres?.end().catch(() => undefined);
      await redis?.[Symbol.asyncDispose]();
      await replica?.[Symbol.asyncDispose]();
      [postgres, redis, replica] = [undefined, undefined, undefined];
      await sleep(RETRY_MS);
    }
  }
}

async function take(step: number): Promise<readonly number[]> {
  const times = [Date.now()];
  writeFile(step);
  times.push(Date.now());
  await insist(() => writeRedis(step));
  times.push(Date.now());
  await insist(() => writePostgres(step));
  times.push(Date.now());
  catalog.transaction((transaction) => transaction.put('counter', String(step)));
  times.push(Date.now());
  return times;
}

async function standStill(): Promise<void> {
  const [pause, paused] = [join(folder, 'pause'), join(folder, 'paused')];
  if (!existsSync(pause)) return;
  writeFileSync(paused, '');
  while (existsSync(pause)) await sleep(PAUSE_STEP_MS);
  rmSync(paused, { force: true });
}

const file = openSync(log, 'a');
for (let step = readFileSync(log, 'utf8').split('\n').length; !isStopped; step++) {
  await standStill();
  writeSync(file, `${JSON.stringify(await take(step))}\n`);
  if (step % 3 === 0) await sleep(step % 11);
}
closeSync(file);
await postgres?.end().catch(() => undefined);
await redis?.[Symbol.asyncDispose]();
await replica?.[Symbol.asyncDispose]();
process.exit(0);
