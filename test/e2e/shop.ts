import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Runtime } from '../../src/core/run.ts';
import { createSystemClock } from '../../src/flow/clock.ts';
import { createObjectStore } from '../../src/objects/registry.ts';
import { createRepository } from '../../src/repository/access.ts';
import type { ChunkLimits } from '../../src/repository/format/header.ts';
import { temporaryFolder } from '../../src/testing/tree/temporary-folder.ts';
import type { TemporaryFolder } from '../../src/testing/tree/temporary-folder.ts';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

export const isRoot = process.geteuid?.() === 0;

/** What one command ended with. `json`: its last line, parsed; an empty object when it printed none. */
export type Ended = {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
  readonly json: Readonly<Record<string, unknown>>;
};

export type Started = {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly ended: Promise<Ended>;
};

export type Options = {
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly cwd?: string | undefined;
  /** A program that starts the command, such as setpriv, with its arguments. */
  readonly by?: readonly string[] | undefined;
};

/** An application with one store `uploads` in `data`, a repository in `backups` and a state folder of its own. */
export type Shop = AsyncDisposable & {
  readonly folder: TemporaryFolder;
  at(...components: readonly string[]): string;
  /** Runs a command to its end, with `--json` unless it is `cat`, `completion` or `--quiet`. */
  run(args: readonly string[], options?: Options): Ended;
  /** Runs it and checks that it ended well. Returns the result. */
  ok(args: readonly string[], options?: Options): Readonly<Record<string, unknown>>;
  /** Starts a command and returns at once. */
  start(args: readonly string[], options?: Options): Started;
};

export const PASSPHRASE = 'correct horse';
const CHEAP_KDF = { memoryKiB: 8, passes: 1, parallelism: 1 };
/** Half of the time of a short command is reading its code. Where coverage is measured nothing may come from a cache. */
const compiled =
  process.env['NODE_V8_COVERAGE'] === undefined
    ? { NODE_COMPILE_CACHE: fileURLToPath(new URL('../../node_modules/.cache/compiled', import.meta.url)) }
    : {};
const LONGEST_MS = 120_000;
const STEP_MS = 250;
const MANIFEST = 'application: shop\nrepository: ./backups\nstores:\n  uploads: files:./data\n';

export type ShopOptions = {
  readonly manifest?: string;
  /** False: there is no repository yet. */
  readonly create?: boolean;
  readonly leaseMs?: number;
  readonly chunks?: ChunkLimits;
};

/** The repository of a shop is made with a cheap derivation of its key, which every command on it then takes as well. */
export async function openShop(options: ShopOptions = {}): Promise<Shop> {
  const folder = temporaryFolder('tidemark-e2e');
  mkdirSync(folder.at('data'));
  writeFileSync(folder.at('tidemark.yaml'), options.manifest ?? MANIFEST);
  const environment = (more: Options['env'] = {}): NodeJS.ProcessEnv => ({
    ...compiled,
    ...process.env,
    XDG_STATE_HOME: folder.at('state'),
    TIDEMARK_PASSPHRASE: PASSPHRASE,
    NO_COLOR: '1',
    ...more,
  });
  const commandOf = (args: readonly string[], by: readonly string[] = []): readonly [string, ...string[]] => {
    const [program = process.execPath, ...rest] = [...by, process.execPath, main, ...args];
    return [program, ...rest];
  };
  const all = new Set<Started>();
  const shop: Shop = {
    folder,
    at: folder.at,
    run(args, { env, cwd = folder.path, by } = {}) {
      const [program, ...rest] = commandOf(withJson(args), by);
      const { status, stdout, stderr, error } = spawnSync(program, rest, {
        cwd,
        env: environment(env),
        encoding: 'utf8',
        input: '',
        timeout: LONGEST_MS,
        maxBuffer: 1 << 28,
      });
      if (error !== undefined) throw error;
      return { status, out: stdout, err: stderr, json: lastJson(stdout) };
    },
    ok(args, more) {
      const { status, json, err } = shop.run(args, more);
      assert.equal(status, 0, `tidemark ${args.join(' ')}: ${err}`);
      return json;
    },
    start(args, { env, cwd = folder.path, by } = {}) {
      const [program, ...rest] = commandOf(withJson(args), by);
      const child = spawn(program, rest, { cwd, env: environment(env), stdio: ['ignore', 'pipe', 'pipe'] });
      const started = { child, ended: collect(child) };
      all.add(started);
      return started;
    },
    async [Symbol.asyncDispose]() {
      // A test that failed has not ended them: it would wait for them for ever.
      for (const { child, ended } of all) {
        if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
        await ended;
      }
      await folder[Symbol.asyncDispose]();
    },
  };
  if (options.create !== false) await createRepositoryAt(folder.at('backups'), options);
  return shop;
}

async function createRepositoryAt(path: string, { leaseMs, chunks }: ShopOptions): Promise<void> {
  const run = { signal: new AbortController().signal };
  const runtime: Runtime = {
    clock: createSystemClock(),
    random: (sizeBytes) => new Uint8Array(randomBytes(sizeBytes)),
    logger: { log: () => undefined },
    temporaryFolder: tmpdir(),
  };
  await using objects = await createObjectStore(path, { runtime, baseFolder: '/', belongs: () => false }, run);
  await createRepository(
    objects,
    { passphrase: PASSPHRASE, slotName: 'test', kdfCost: CHEAP_KDF, leaseMs, chunks },
    runtime,
    run,
  );
}

function withJson(args: readonly string[]): readonly string[] {
  return args[0] === 'cat' || args[0] === 'completion' || args.includes('--quiet') ? args : [...args, '--json'];
}

function lastJson(text: string): Readonly<Record<string, unknown>> {
  const line = text.trimEnd().split('\n').at(-1) ?? '';
  if (!line.startsWith('{')) return {};
  // Only what is a whole object in one line gets here.
  return JSON.parse(line) as Record<string, unknown>;
}

async function collect(child: Started['child']): Promise<Ended> {
  const text = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => {
    text.out += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    text.err += chunk.toString();
  });
  const [status] = (await once(child, 'close')) as readonly (number | null)[];
  const isWhole = text.out === '' || text.out.endsWith('\n');
  return { status: status ?? null, ...text, json: isWhole ? lastJson(text.out) : {} };
}

/** Resolves when it is so. Fails when that takes far too long. */
export async function until(what: string, isSo: () => boolean): Promise<void> {
  const endMs = Date.now() + LONGEST_MS;
  while (!isSo()) {
    assert.ok(Date.now() < endMs, `waited too long for: ${what}`);
    await sleep(STEP_MS);
  }
}

/** A field of a result that is a list of objects. */
export function listOf(json: Readonly<Record<string, unknown>>, field: string): readonly Record<string, unknown>[] {
  const value = json[field];
  assert.ok(Array.isArray(value), `${field} is a list in ${JSON.stringify(json).slice(0, 500)}`);
  return value as readonly Record<string, unknown>[];
}

/** A field of a result that is an object. */
export function objectOf(json: Readonly<Record<string, unknown>>, field: string): Readonly<Record<string, unknown>> {
  const value = json[field];
  assert.ok(typeof value === 'object' && value !== null, `${field} is an object in ${JSON.stringify(json)}`);
  return value as Record<string, unknown>;
}

/** The id of the mark that a backup or restore told of. */
export function markId(json: Readonly<Record<string, unknown>>): string {
  return String(objectOf(json, 'mark')['id']);
}
