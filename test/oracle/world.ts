import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { askAgent } from '../../src/agent/socket-client.ts';
import type { AgentRequest } from '../../src/agent/request.ts';
import { openEmbedded } from '../../src/connectors/embedded/connector.ts';
import { isTidemarkError } from '../../src/core/errors.ts';
import type { Json } from '../../src/repository/format/json.ts';
import { createSeededRandom } from '../../src/flow/random.ts';
import type { SeededRandom } from '../../src/flow/random.ts';
import { openShop } from '../e2e/shop.ts';
import type { Ended, Shop, Started } from '../e2e/shop.ts';
import { Model } from './model.ts';
import { openShopApplication } from './opened.ts';

export const isFull = process.env['TIDEMARK_TEST_LEVEL'] === 'full';
const seeds = createSeededRandom(Number(process.env['TIDEMARK_TEST_SEED'] ?? Date.now() % 1_000_000));

// No power cut is tried here, so that nothing has to wait for a disk.
if (existsSync('/dev/shm')) process.env['TMPDIR'] = '/dev/shm';

/** A run that was made longer. */
export const isLonger = process.env['TIDEMARK_ORACLE_LONGER'] !== undefined;

/** A run of the quick level lasts so many seconds times this: with a hundred there are thousands of marks. */
export const LONGER = Number(process.env['TIDEMARK_ORACLE_LONGER'] ?? (isFull ? 2 : 1));

/** The same for what needs servers, which take their time to start, stop and be restored. */
export const ENGINES_LONGER = Number(process.env['TIDEMARK_ORACLE_LONGER'] ?? 1);
const STEP_MS = 20;
const LONGEST_MS = 120_000;
const WRITER = join(import.meta.dirname, 'writer.ts');

export const STORES = `  orders: { url: embedded:./orders.db, references: [uploads] }
  catalog: embedded:./catalog.db
  uploads: files:./uploads
`;

/** How the `up` of an application is spoken to. */
export type Asking = {
  /** What `up` answers; undefined where none runs, or it ended meanwhile. */
  ask(request: AgentRequest): Promise<Readonly<Record<string, Json>> | undefined>;
  /** A mark, and its id. Undefined as `ask`. */
  mark(options?: { readonly name?: string; readonly sealed?: boolean }): Promise<string | undefined>;
};

/** An application with two stores of keys and a folder, written to by another process. */
export type World = AsyncDisposable &
  Asking & {
    readonly shop: Shop;
    readonly seed: number;
    readonly random: SeededRandom;
    startUp(by?: readonly string[]): Started;
    /** Kills it without a warning, and waits until it is gone. */
    kill(up: Started): Promise<void>;
    /** Ctrl-C, and what it ended with. */
    stop(up: Started): Promise<Ended>;
    startWriter(): void;
    /** Ends the writer between two steps. */
    stopWriter(): Promise<Model>;
  };

export async function askingOf(shop: Shop): Promise<Asking> {
  const stateFolder = await stateFolderOf(shop);
  const asking: Asking = {
    async ask(request) {
      try {
        const run = { signal: AbortSignal.timeout(LONGEST_MS) };
        return await askAgent(stateFolder, request, { onNews: () => undefined }, run);
      } catch (error) {
        if (isTidemarkError(error, 'FAILED') && error.message.includes('ended before it answered')) return undefined;
        throw error;
      }
    },
    async mark({ name, sealed = false } = {}) {
      const answer = await asking.ask({ command: 'mark', name, tags: [], sealed });
      // As `mark` answers.
      return (answer as { readonly mark: { readonly id: string } } | undefined)?.mark.id;
    },
  };
  return asking;
}

export async function openWorld(manifest = STORES): Promise<World> {
  const text = `application: shop\nrepository: ./backups\nstores:\n${manifest}marks: { every: 1s }\n`;
  const shop = await openShop({ manifest: text });
  const seed = seeds.integer(2 ** 31);
  mkdirSync(shop.at('uploads'));
  writeFileSync(shop.at('uploads', 'first'), 'there from the beginning');
  for (const name of ['orders', 'catalog']) openEmbedded(shop.at(`${name}.db`))[Symbol.dispose]();
  const asking = await askingOf(shop);
  const running = new Set<ChildProcess>();
  let writer: ChildProcess | undefined;
  const world: World = {
    ...asking,
    shop,
    seed,
    random: createSeededRandom(`${seed} events`),
    startUp(by) {
      const up = shop.start(['up'], by === undefined ? {} : { by });
      running.add(up.child);
      return up;
    },
    async kill({ child, ended }) {
      child.kill('SIGKILL');
      await ended;
    },
    async stop({ child, ended }) {
      child.kill('SIGINT');
      return await ended;
    },
    startWriter() {
      const args = [WRITER, shop.folder.path, String(seed), shop.at('writer.log')];
      writer = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
      running.add(writer);
    },
    async stopWriter() {
      assert.ok(writer, 'a writer runs');
      writer.kill('SIGTERM');
      if (writer.exitCode === null) await once(writer, 'exit');
      assert.equal(writer.exitCode, 0, 'the writer ended well');
      return new Model(seed, shop.at('writer.log'));
    },
    async [Symbol.asyncDispose]() {
      for (const child of running) {
        child.kill('SIGCONT');
        child.kill('SIGKILL');
        if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      }
      rmSync(shop.at('pause'), { force: true });
      await shop[Symbol.asyncDispose]();
    },
  };
  return world;
}

async function stateFolderOf(shop: Shop): Promise<string> {
  await using application = await openShopApplication(shop);
  return application.stateFolder;
}

/** Resolves once something is so. `seen` is told where it is never so. */
export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  seen: () => string = () => '',
): Promise<void> {
  const endMs = Date.now() + LONGEST_MS;
  while (!(await isSo())) {
    assert.ok(Date.now() < endMs, `it is never so that ${what}${seen()}`);
    await sleep(STEP_MS);
  }
}

/** What a store does, as `up` says. */
export async function stateOf(world: Asking, store: string): Promise<string | undefined> {
  const answer = await world.ask({ command: 'status' });
  const stores = answer?.['stores'] as readonly { readonly store: string; readonly state: string }[] | undefined; // as `status` answers
  return stores?.find((one) => one.store === store)?.state;
}

export async function untilRecording(world: Asking, ...stores: readonly string[]): Promise<void> {
  for (const store of stores.length > 0 ? stores : ['orders', 'catalog', 'uploads']) {
    await until(`${store} is recorded`, async () => (await stateOf(world, store)) === 'recording');
  }
}

/** How many ask for marks at once: each waits for the repository. */
const ASKERS = 6;

/** Asks for marks at random moments for some seconds; the ids of those that were promised. */
export async function markAtRandom(
  world: Asking & { readonly random: SeededRandom },
  seconds: number,
  options: { readonly sealed?: boolean } = {},
): Promise<readonly string[]> {
  const ids: string[] = [];
  const endMs = Date.now() + seconds * 1000;
  const ask = async (): Promise<void> => {
    while (Date.now() < endMs) {
      await sleep(world.random.integer(200));
      const id = await world.mark(options);
      if (id !== undefined) ids.push(id);
    }
  };
  await Promise.all(Array.from({ length: ASKERS }, ask));
  return ids;
}
