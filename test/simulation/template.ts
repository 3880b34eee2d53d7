import { must } from '../../src/core/must.ts';
import type { Runtime } from '../../src/core/run.ts';
import { createSeededRandom } from '../../src/flow/random.ts';
import type { SeededRandom } from '../../src/flow/random.ts';
import { createVirtualClock } from '../../src/flow/virtual-clock.ts';
import type { VirtualClock } from '../../src/flow/virtual-clock.ts';
import { createRepository, withDerivedCredential } from '../../src/repository/access.ts';
import type { RepositoryAccess } from '../../src/repository/access.ts';
import { forget } from '../../src/repository/maintainer.ts';
import { createInPlaceEngine } from '../../src/repository/pipeline/in-place-engine.ts';
import type { CutKeys, PipelineEngine } from '../../src/repository/pipeline/engine.ts';
import { findGarbage } from '../../src/repository/sweep/garbage.ts';
import { viewRepository } from '../../src/repository/sweep/view.ts';
import { RepositoryWriter } from '../../src/repository/writer.ts';
import { MemoryObjectStore } from '../../src/testing/memory-object-store.ts';
import type { MemorySnapshot } from '../../src/testing/memory-object-store.ts';
import { createMemoryChunkIndex } from './memory-chunk-index.ts';
import type { BaseContent, CommittedMark } from './model.ts';
import { scriptedBase } from './scripted-base.ts';

/** A day, so that retention has marks to give up within few leases. */
export const LEASE_MS = 86_400_000;
export const STORES = ['alpha', 'beta'] as const;
const START_MS = Date.parse('2026-03-01T00:00:00Z');
/** Of the writers; each has a maintainer of its name. */
const CREDENTIALS = ['north', 'south'];
const POOL = 8;
const ROUNDS = 2;
const ROUND_LEASES = 3;
const ENGINE_BYTES = 4096;
const run = { signal: new AbortController().signal };

/** A repository with a past of its first writer, made once: each schedule begins with a copy. The marks of its first rounds have been given up. */
export type Template = {
  readonly snapshot: MemorySnapshot;
  readonly nowMs: number;
  readonly leaseMs: number;
  /** The owner's, with a writer's and a maintainer's credential of the same name. */
  readonly accesses: readonly RepositoryAccess[];
  /** What all content is chosen from, so that what was given up is needed again. The first one nothing needs any more. */
  readonly pool: readonly Uint8Array[];
  readonly contents: ReadonlyMap<string, BaseContent>;
  /** Keys of packs that nothing needs. */
  readonly garbage: readonly string[];
  /** Those that were not given up. */
  readonly marks: readonly CommittedMark[];
};

export function engineOf(access: RepositoryAccess): (keys: CutKeys) => Promise<PipelineEngine> {
  return async (keys) => createInPlaceEngine({ sizes: access.header.chunks, keys, capacityBytes: ENGINE_BYTES });
}

type Beginning = {
  readonly clock: VirtualClock;
  readonly memory: MemoryObjectStore;
  readonly random: SeededRandom;
  readonly accesses: readonly RepositoryAccess[];
};

/** A new repository, with a writer and a maintainer of each name. */
async function beginRepository(startMs: number, leaseMs: number): Promise<Beginning> {
  const clock = createVirtualClock(startMs);
  const memory = new MemoryObjectStore({ clock });
  const random = createSeededRandom('template');
  const runtime: Runtime = {
    clock,
    random: random.bytes,
    logger: { log: () => undefined },
    temporaryFolder: '/nowhere',
  };
  const owner = await createRepository(
    memory,
    {
      passphrase: 'simulated',
      slotName: 'simulated',
      leaseMs,
      chunks: { minBytes: 64, averageBytes: 128, maxBytes: 256, pageBytes: 512 },
      kdfCost: { memoryKiB: 8, passes: 1, parallelism: 1 },
    },
    runtime,
    run,
  );
  const accesses: RepositoryAccess[] = [];
  for (const name of CREDENTIALS) {
    const writer = await withDerivedCredential(owner, { role: 'writer', name, stores: ['*'] }, run);
    accesses.push(await withDerivedCredential(writer, { role: 'maintainer', name, stores: [] }, run));
  }
  return { clock, memory, random, accesses };
}

/** A repository without a past. */
export async function createEmptyTemplate(startMs: number, leaseMs: number): Promise<Template> {
  const { memory, accesses } = await beginRepository(startMs, leaseMs);
  return {
    snapshot: memory.snapshot(),
    nowMs: startMs,
    leaseMs,
    accesses,
    pool: [],
    contents: new Map(),
    garbage: [],
    marks: [],
  };
}

export async function createTemplate(): Promise<Template> {
  const { clock, memory, random, accesses } = await beginRepository(START_MS, LEASE_MS);
  const pool = Array.from({ length: POOL }, () => random.bytes(60 + random.integer(240)));
  const contents = new Map<string, BaseContent>();
  const marks = new Map<string, CommittedMark>();
  const access = must(accesses[0], 'a credential');
  for (let round = 0; round < ROUNDS; round += 1) {
    const mark = await backUpAll(access, { round, pool, contents });
    marks.set(mark.id, mark);
    await clock.advance(ROUND_LEASES * LEASE_MS);
  }
  const policy = { windowMs: 0, last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0 };
  const info = { application: 'simulated', host: 'template', command: 'forget', tool: 'simulation' };
  const { selection } = await forget({ access, remembered: [], info, policy, timezone: 'UTC' }, run);
  for (const { mark } of selection.forgotten) marks.delete(mark.id);
  await clock.advance(ROUND_LEASES * LEASE_MS);
  const view = await viewRepository({ access, remembered: [] }, undefined, run);
  const garbage = (await findGarbage(view, run)).map(({ key }) => key).filter((key) => key.startsWith('packs/'));
  return {
    snapshot: memory.snapshot(),
    nowMs: clock.nowMs(),
    leaseMs: LEASE_MS,
    accesses,
    pool,
    contents,
    garbage,
    marks: [...marks.values()],
  };
}

type Round = {
  readonly round: number;
  readonly pool: readonly Uint8Array[];
  /** Takes what the bases are made of. */
  readonly contents: Map<string, BaseContent>;
};

/** The second store of a round has what the first one has in the next, so the first pieces become garbage, in packs of their own. */
async function backUpAll(access: RepositoryAccess, { round, pool, contents }: Round): Promise<CommittedMark> {
  const openEngine = engineOf(access);
  const info = { application: 'simulated', host: 'template', command: 'backup', tool: 'simulation' };
  const openIndex = async () => createMemoryChunkIndex();
  await using writer = await RepositoryWriter.open(
    {
      access,
      info,
      stateFolder: undefined,
      dryRun: false,
      remembered: [],
      openIndex,
      openEngine,
      openRetryEngine: openEngine,
    },
    run,
  );
  const bases: Record<string, string> = {};
  const cut = { lineage: access.writer?.name ?? '', order: String(round), resume: '' };
  for (const [number, store] of STORES.entries()) {
    const first = 2 * (round + number);
    const content = new Map(pool.slice(first, first + 2).map((piece, at) => [`${at}`, piece]));
    await using base = scriptedBase({ content, cut, pause: async () => undefined });
    const written = await writer.writeBase(
      {
        store,
        history: store,
        exact: 'position',
        connector: 'scripted',
        url: '',
        base,
        manifest: '',
        allowEmpty: true,
        onProgress: () => undefined,
      },
      run,
    );
    bases[store] = written.key;
    contents.set(written.key, content);
  }
  const atMs = access.runtime.clock.nowMs();
  const id = `template-${round}-${access.writer?.name}`;
  const positions = Object.fromEntries(STORES.map((store) => [store, cut]));
  await writer.putMark({ id, tags: [], class: 'clock', atMs, skewMs: 0, positions, bases, missing: [] }, run);
  await writer.end(run);
  return { id, bases, isNamed: false };
}
