import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, copyFileSync, mkdirSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { redisConnector } from '../../src/connectors/redis/connector.ts';
import type { RedisPlace } from '../../src/connectors/redis/place.ts';
import { readRdb } from '../../src/connectors/redis/rdb/rdb-reader.ts';
import { RestoreWriter } from '../../src/connectors/redis/rdb/restore-writer.ts';
import { filePieces, workFilesIn } from '../../src/connectors/redis/restore/work-files.ts';
import { must } from '../../src/core/must.ts';
import type { Run } from '../../src/core/run.ts';
import { logOf, openBare } from '../../src/restore/point.ts';
import { GuardedFolder } from '../../test/servers/guarded.ts';
import { startRedis } from '../../test/servers/redis.ts';
import type { RedisServer } from '../../test/servers/redis.ts';
import { seededRandom } from '../data/random.ts';
import { orderOfTurn, spreadOf } from '../harness/statistics.ts';
import { openReader, runtime } from '../recording/read-back.ts';
import { UpProcess } from '../recording/up-process.ts';
import { startFilledRedis } from '../servers.ts';
import { compared, count, GIGABYTE, megabytes, say, seconds } from './rows.ts';
import type { Options, Part } from './rows.ts';

const STORE = 'cache';
/** Until what was written last is in the repository. */
const SETTLE_MS = 3_000;
const LEAST = 0.8;

type Steps = { readonly stageMs: number; readonly verifyMs: number; readonly sendMs: number };

/** The newest position into a server, step by step in this process. What was staged lies in `workFolder`, which must not exist. */
async function restoreBySteps(
  up: UpProcess,
  { server, workFolder }: { readonly server: RedisServer; readonly workFolder: string },
  run: Run,
): Promise<Steps> {
  await using stack = new AsyncDisposableStack();
  const reader = await openReader(up, stack, run);
  const view = must(reader.catalogue.histories.get(STORE), 'a history');
  const base = must([...reader.catalogue.bases.values()].at(-1), 'a base');
  const position = must(view.reachOf(base) ?? base.summary.cut, 'a position');
  const point = must(view.planTo({ position, credential: base.credential }), 'a plan');
  const place: RedisPlace = {
    host: '127.0.0.1',
    port: server.port,
    expiry: 'remaining',
    source: 'psync',
    password: async () => undefined,
  };
  const startMs = performance.now();
  await using restorer = await redisConnector.openRestorer(place, { runtime, id: 'bench', workFolder }, run);
  using bare = await openBare(reader, point, run);
  await restorer.restoreBase(bare, run);
  await must(restorer.rollForward?.bind(restorer), 'a log of bytes')(logOf(reader, point), position, run);
  const stagedMs = performance.now();
  await restorer.verify(run);
  const verifiedMs = performance.now();
  await restorer.swap(run);
  return { stageMs: stagedMs - startMs, verifyMs: verifiedMs - stagedMs, sendMs: performance.now() - verifiedMs };
}

/** The same RESTORE commands as ours, as a file. Returns how many. */
async function writeRestoreCommands(rdb: string, into: string, run: Run): Promise<number> {
  const writer = new RestoreWriter({ replace: false });
  const file = openSync(into, 'w');
  let keys = 0;
  for await (const { items, version } of readRdb(filePieces(rdb, run))) {
    for (const item of items) {
      if (item.kind !== 'key') continue;
      keys++;
      writer.add(item, undefined, { version, expiresAtMs: item.expiresAtMs });
    }
    for (const bytes of writer.take().bytes) writeSync(file, bytes);
  }
  closeSync(file);
  return keys;
}

async function pipeFile(server: RedisServer, path: string): Promise<number> {
  const input = openSync(path, 'r');
  const startMs = performance.now();
  const child = spawn('redis-cli', ['-p', String(server.port), '--pipe'], { stdio: [input, 'pipe', 'inherit'] });
  closeSync(input);
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (piece: string) => (text += piece));
  await once(child, 'close');
  if (!text.includes('errors: 0')) throw new Error(`redis-cli --pipe: ${text}`);
  return performance.now() - startMs;
}

type Prepared = {
  readonly up: UpProcess;
  readonly folder: string;
  /** What `redis-cli --pipe` is fed with. */
  readonly commands: string;
  readonly commandCount: number;
  readonly keys: number;
};

const HOWS = ['redis-cli', 'tidemark', 'steps'] as const;

type Times = {
  readonly pipeMs: number[];
  readonly wholeMs: number[];
  readonly steps: Steps[];
  readonly cpuMs: number[];
};

async function timeRestores(name: string, prepared: Prepared, { rounds, signal }: Options): Promise<Times> {
  const { up, folder, commands, keys } = prepared;
  const times: Times = { pipeMs: [], wholeMs: [], steps: [], cpuMs: [] };
  for (let round = 0; round < rounds; round++) {
    for (const how of orderOfTurn(HOWS, round)) {
      signal.throwIfAborted();
      await using server = await startRedis();
      if (how === 'redis-cli') times.pipeMs.push(await pipeFile(server, commands));
      else if (how === 'tidemark') {
        const whole = await up.command('restore', '--to', 'latest', '--into', `${STORE}=${server.url}`, '--yes');
        times.wholeMs.push(whole.wallMs);
        times.cpuMs.push(whole.userMs + whole.systemMs);
        await up.command('restore', '--discard', '--yes');
      } else {
        const workFolder = join(folder, 'work');
        times.steps.push(await restoreBySteps(up, { server, workFolder }, { signal }));
        rmSync(workFolder, { recursive: true });
      }
      const there = Number(await server.call('dbsize'));
      if (there !== keys) throw new Error(`${how}: ${there} keys instead of ${keys}`);
    }
    const last = must(times.steps.at(-1), 'a round');
    say(
      `${name}, round ${round + 1} of ${rounds}: redis-cli ${seconds(times.pipeMs.at(-1) ?? 0)}, tidemark restore ${seconds(times.wholeMs.at(-1) ?? 0)}; ` +
        `its steps: stage ${seconds(last.stageMs)}, verify ${seconds(last.verifyMs)}, send ${seconds(last.sendMs)}`,
    );
  }
  return times;
}

function partOf(name: string, what: string, prepared: Prepared, times: Times): Part {
  const perSecond = (ms: readonly number[]): readonly number[] =>
    ms.map((one) => prepared.commandCount / (one / 1_000));
  const theirs = perSecond(times.pipeMs);
  const step = (pick: (steps: Steps) => number): readonly number[] => times.steps.map(pick);
  const median = (values: readonly number[]): string => seconds(spreadOf(values).median);
  const sizeBytes = statSync(prepared.commands).size;
  return {
    title: `Redis: restore, ${name}`,
    notes: [
      `${count(prepared.commandCount)} ${what} of ${megabytes(sizeBytes)}, into a fresh server each time, against \`redis-cli --pipe\` with the same commands from a file; ${times.pipeMs.length} rounds in changing order.`,
      `The whole command starts, opens the repository, decrypts to a work folder, verifies all of it and sends it; it took ${median(times.cpuMs)} of processor time. Its steps, in a process that runs already: stage ${median(step(({ stageMs }) => stageMs))}, verify ${median(step(({ verifyMs }) => verifyMs))}, send ${median(step(({ sendMs }) => sendMs))}.`,
    ],
    rows: [
      compared({
        what: `${what} a second, sending alone / redis-cli --pipe`,
        ours: perSecond(step(({ sendMs }) => sendMs)),
        theirs,
        shown: count,
        kind: 'rate',
        must: LEAST,
      }),
      compared({
        what: `${what} a second, the whole \`tidemark restore\` / redis-cli --pipe`,
        ours: perSecond(times.wholeMs),
        theirs,
        shown: count,
        kind: 'rate',
      }),
    ],
    samples: {
      pipeMs: times.pipeMs,
      wholeMs: times.wholeMs,
      wholeCpuMs: times.cpuMs,
      stageMs: step(({ stageMs }) => stageMs),
      verifyMs: step(({ verifyMs }) => verifyMs),
      sendMs: step(({ sendMs }) => sendMs),
    },
  };
}

/** Stages it once, for the commands that both send. */
async function stagedBefore(up: UpProcess, folder: string, run: Run): Promise<{ rdb: string; commands: string }> {
  await using server = await startRedis();
  const work = join(folder, 'staged');
  mkdirSync(folder, { recursive: true });
  await restoreBySteps(up, { server, workFolder: work }, run);
  return workFilesIn(work);
}

export async function redisRestore(options: Options): Promise<Part> {
  const run = { signal: options.signal };
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(new GuardedFolder('bench')).path;
  let up: UpProcess;
  {
    await using source = await startFilledRedis({ sizeBytes: options.gigabytes * GIGABYTE });
    up = stack.use(new UpProcess(folder, { [STORE]: source.url }, run));
    const { wallMs } = await up.command('backup');
    say(`restore: ${options.gigabytes} GB backed up in ${seconds(wallMs)}`);
  }
  const commands = join(folder, 'restore-commands');
  const { rdb } = await stagedBefore(up, folder, run);
  const keys = await writeRestoreCommands(rdb, commands, run);
  rmSync(join(folder, 'staged'), { recursive: true });
  const prepared = { up, folder, commands, commandCount: keys, keys };
  return partOf('RDB', 'keys', prepared, await timeRestores('restore', prepared, options));
}

/** As an application of sessions, counters and queues would. */
function* appCommands(size: number): Generator<readonly string[]> {
  const random = seededRandom(7);
  const text = Array.from({ length: 2_000 }, () => random.next().toString(36)).join(' ');
  const value = (): string => {
    const start = random.below(10_000);
    return text.slice(start, start + 80 + random.below(120));
  };
  for (let index = 0; index < size; index++) {
    const kind = random.below(100);
    const id = random.below(200_000);
    if (kind < 55) yield ['SET', `session:${id}`, value()];
    else if (kind < 70) yield ['HSET', `user:${id}`, `field:${random.below(10)}`, value()];
    else if (kind < 80) yield ['LPUSH', `queue:${id % 1_000}`, value()];
    else if (kind < 85) yield ['LTRIM', `queue:${id % 1_000}`, '0', '99'];
    else if (kind < 95) yield ['INCR', `counter:${id}`];
    else yield ['ZADD', `board:${id % 100}`, String(index), `member:${id}`];
  }
}

export const redisRollForward =
  (size: number) =>
  async (options: Options): Promise<Part> => {
    const run = { signal: options.signal };
    await using stack = new AsyncDisposableStack();
    const folder = stack.use(new GuardedFolder('bench')).path;
    let up: UpProcess;
    let keys: number;
    {
      await using source = await startRedis();
      up = stack.use(new UpProcess(folder, { [STORE]: source.url }, run));
      await up.start();
      await source.pipe(appCommands(size));
      keys = Number(await source.call('dbsize'));
      await sleep(SETTLE_MS);
      await up.stop();
    }
    const commands = join(folder, 'log-commands');
    copyFileSync((await stagedBefore(up, folder, run)).commands, commands);
    rmSync(join(folder, 'staged'), { recursive: true });
    const prepared = { up, folder, commands, commandCount: size, keys };
    return partOf('roll forward', 'commands', prepared, await timeRestores('roll-forward', prepared, options));
  };
