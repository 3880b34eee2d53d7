import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import process from 'node:process';
import { openReader } from '../../src/app/look.ts';
import { openEmbedded } from '../../src/connectors/embedded/connector.ts';
import { createSeededRandom } from '../../src/flow/random.ts';
import type { SeededRandom } from '../../src/flow/random.ts';
import { markState } from '../../src/repository/mark.ts';
import { openShop } from '../e2e/shop.ts';
import type { Ended, Options, Shop, Started } from '../e2e/shop.ts';
import type { PostgresServer } from '../servers/postgres.ts';
import { EngineModel, ENGINE_STORES } from './engine-model.ts';
import type { EngineStore, Ports } from './engine-model.ts';
import type { Span } from './model.ts';
import { openShopApplication, run } from './opened.ts';
import { askingOf, until } from './world.ts';
import type { Asking } from './world.ts';

const WRITER = join(import.meta.dirname, 'engine-writer.ts');

/** PostgreSQL's own cap on what it keeps for us, without which `doctor` would not agree. */
export const SETTINGS = { max_slot_wal_keep_size: '512MB', wal_level: 'replica' };

/** `more`: of each store in its manifest, such as `, sentinels: [a:1]`. */
export type EnginePlaces = {
  readonly redisUrl: string;
  readonly postgresUrl: string;
  readonly more?: Partial<Readonly<Record<EngineStore, string>>>;
};

/** An application with a store of each kind, written to by another process. */
export type EngineWorld = AsyncDisposable &
  Asking & {
    readonly shop: Shop;
    readonly seed: number;
    readonly random: SeededRandom;
    startUp(options?: Options): Started;
    stop(up: Started): Promise<Ended>;
    /** Kills it without a warning, and waits until it is gone. */
    kill(up: Started): Promise<void>;
    startWriter(ports: Ports): void;
    /** Where the writer goes on when its connections break. */
    moveWriter(ports: Ports): void;
    /** Lets the writer stand between two steps until `goOn`. */
    standStill(): Promise<void>;
    goOn(): void;
    stopWriter(): Promise<EngineModel>;
    /** What the repository has. */
    recorded(): Promise<Recorded>;
  };

/** `atMs`: when it was, as a time finds it. `storedMs`: from when on it was in the repository. */
export type TakenMark = {
  readonly id: string;
  readonly state: string;
  readonly class: string;
  readonly span: Span;
  readonly atMs: number;
  readonly storedMs: number;
};

export type Recorded = {
  /** Oldest first. */
  readonly marks: readonly TakenMark[];
  readonly complete: readonly TakenMark[];
  gaps(store: EngineStore): readonly string[];
  /** When stores were not recorded, of all of them. */
  readonly gapTimes: readonly Span[];
  bases(store: EngineStore): number;
};

/** The tables that the writer writes. */
export async function makeTables(server: PostgresServer): Promise<void> {
  await server.query(
    'CREATE TABLE counter (value bigint); INSERT INTO counter VALUES (0); CREATE TABLE steps (n bigint PRIMARY KEY, pad text)',
  );
}

export async function openEngineWorld({ redisUrl, postgresUrl, more = {} }: EnginePlaces): Promise<EngineWorld> {
  const { orders = '', cache = '', catalog = '', uploads = '' } = more;
  const stores = `  orders: { url: '${postgresUrl}', references: [uploads]${orders} }
  cache: { url: '${redisUrl}'${cache} }
  catalog: { url: 'embedded:./catalog.db'${catalog} }
  uploads: { url: 'files:./uploads'${uploads} }
`;
  const shop = await openShop({
    manifest: `application: shop\nrepository: ./backups\nmarks: { every: 1s }\nstores:\n${stores}`,
  });
  const asking = await askingOf(shop);
  const seed = Number(process.env['TIDEMARK_TEST_SEED'] ?? Date.now() % 1_000_000);
  mkdirSync(shop.at('uploads'));
  writeFileSync(shop.at('uploads', 'counter'), '0');
  {
    using made = openEmbedded(shop.at('catalog.db'));
    made.put('counter', '0');
  }
  writeFileSync(shop.at('writer.log'), '');
  let writer: ChildProcess | undefined;
  const world: EngineWorld = {
    ...asking,
    shop,
    seed,
    random: createSeededRandom(`${seed} events`),
    startUp: (options) => shop.start(['up'], options),
    async stop({ child, ended }) {
      child.kill('SIGINT');
      return await ended;
    },
    async kill({ child, ended }) {
      child.kill('SIGKILL');
      await ended;
    },
    startWriter(ports) {
      world.moveWriter(ports);
      const args = [WRITER, shop.folder.path, shop.at('writer.log'), shop.at('ports.json')];
      writer = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    },
    moveWriter(ports) {
      writeFileSync(shop.at('ports.json'), JSON.stringify(ports));
    },
    async standStill() {
      writeFileSync(shop.at('pause'), '');
      await until('the writer stands still', () => existsSync(shop.at('paused')));
    },
    goOn() {
      rmSync(shop.at('pause'));
    },
    async stopWriter() {
      assert.ok(writer, 'a writer runs');
      // Before its first step it may not listen yet.
      await until('the writer writes', () => statSync(shop.at('writer.log')).size > 0);
      writer.kill('SIGTERM');
      if (writer.exitCode === null) await once(writer, 'exit');
      assert.equal(writer.exitCode, 0, 'the writer ended well');
      return new EngineModel(shop.at('writer.log'));
    },
    recorded: () => recordedOf(shop, seed),
    async [Symbol.asyncDispose]() {
      rmSync(shop.at('pause'), { force: true });
      if (writer !== undefined && writer.exitCode === null && writer.signalCode === null) {
        writer.kill('SIGKILL');
        await once(writer, 'exit');
      }
      await shop[Symbol.asyncDispose]();
    },
  };
  return world;
}

async function recordedOf(shop: Shop, seed: number): Promise<Recorded> {
  await using application = await openShopApplication(shop);
  await using reader = await openReader(application, {}, run);
  const { catalogue } = reader;
  assert.deepEqual(catalogue.findings, []);
  const marks = catalogue.marks.map(({ mark, signed, modifiedMs }) => {
    const span = { fromMs: signed.atMs - signed.skewMs, toMs: signed.atMs };
    return { id: mark.id, state: markState(mark), class: signed.class, span, atMs: mark.atMs, storedMs: modifiedMs };
  });
  const complete = marks.filter(({ state }) => state === 'complete');
  keepResult({ seed, marks: marks.length, complete: complete.length, gaps: catalogue.gaps.length });
  return {
    marks,
    complete,
    gaps: (store) => catalogue.gaps.filter((gap) => gap.store === store).map(({ reason }) => reason),
    gapTimes: catalogue.gaps.map(({ fromMs, toMs }) => ({ fromMs, toMs })),
    bases: (store) => [...catalogue.bases.values()].filter(({ summary }) => summary.store === store).length,
  };
}

/** For a long run, which counts what was done: a line in the file that it names. */
export function keepResult(result: Readonly<Record<string, unknown>>): void {
  const path = process.env['TIDEMARK_ORACLE_RESULT'];
  const scenario = basename(process.argv[1] ?? '', '.test.ts');
  if (path !== undefined) appendFileSync(path, `${JSON.stringify({ scenario, ...result })}\n`);
}

/** Resolves when `up` says that it records all of them. What has just broken may not be noticed yet: see `untilComplete`. */
export async function untilAllRecord({ ask }: Asking): Promise<void> {
  let stores: readonly { readonly state?: string }[] = [];
  const isSo = async (): Promise<boolean> => {
    const answer = await ask({ command: 'status' });
    stores = (answer?.['stores'] ?? []) as typeof stores; // as `status` answers
    return stores.length === ENGINE_STORES.length && stores.every(({ state }) => state === 'recording');
  };
  await until('all stores are recorded', isSo, () => `: ${JSON.stringify(stores)}`);
}

/** Takes marks until one has all stores, and gives its id. */
export async function untilComplete({ ask }: Asking): Promise<string> {
  let mark: { readonly id?: string; readonly state?: string } = {};
  const isSo = async (): Promise<boolean> => {
    const answer = await ask({ command: 'mark', tags: [], sealed: false });
    mark = (answer?.['mark'] ?? {}) as typeof mark; // as `mark` answers
    return mark.state === 'complete';
  };
  await until('a mark has all stores', isSo, () => `: ${JSON.stringify(mark)}`);
  return mark.id ?? '';
}
