import { putUnsureAgain } from '../../src/app/put-again.ts';
import { createSeededRandom } from '../../src/flow/random.ts';
import type { SeededRandom } from '../../src/flow/random.ts';
import type { Position } from '../../src/core/position.ts';
import type { openPoint } from '../../src/restore/point.ts';
import type { Mark } from '../../src/repository/mark.ts';
import type { KeptRecords } from '../../src/repository/records/kept-records.ts';
import type { RepositoryWriter } from '../../src/repository/writer.ts';
import type { MemorySnapshot } from '../../src/testing/memory-object-store.ts';
import { CountedStore, ObservedStore } from './archive-stores.ts';
import type { SimulatedStore } from './archive-stores.ts';
import { createEmptyTemplate } from './template.ts';
import type { Template } from './template.ts';
import { realProtocol, World } from './world.ts';
import type { HostFaults } from './simulated-host.ts';
import type { Protocol } from './world.ts';

export const MINUTE_MS = 60_000;
export const ARCHIVE_LEASE_MS = 20 * MINUTE_MS;
/** The clocks of Europe go back at 01:00 UTC: the hour from 02:00 happens twice there. */
const START_MS = Date.parse('2026-10-25T00:10:00Z');

/** Parts that a mutant does otherwise. */
export type ArchiveProtocol = Protocol & {
  readonly writer: (writer: RepositoryWriter) => RepositoryWriter;
  /** Where a history is followed on, after a start. */
  readonly known: (position: Position, head: Position | undefined) => Position;
  readonly openPoint: typeof openPoint | undefined;
  readonly putUnsureAgain: typeof putUnsureAgain;
};

export const realArchiveProtocol: ArchiveProtocol = {
  ...realProtocol,
  writer: (writer) => writer,
  known: (position) => position,
  openPoint: undefined,
  putUnsureAgain,
};

/** A repository at two moments: whoever has made so many calls sees the second. */
export type Photograph = { readonly first: MemorySnapshot; readonly second: MemorySnapshot; readonly calls: number };

export function createArchiveTemplate(): Promise<Template> {
  return createEmptyTemplate(START_MS, ARCHIVE_LEASE_MS);
}

export type ArchiveWorldOptions = {
  readonly seed: number;
  readonly template: Template;
  readonly protocol: ArchiveProtocol;
  /** What hosts have read before. Undefined: they read all records each time. */
  readonly kept: KeptRecords | undefined;
  /** An object store that lists at once and stamps what is there. */
  readonly isPlain?: boolean | undefined;
};

/** One schedule: a repository, the stores that are archived into it, and what was said to be durable. */
export class ArchiveWorld {
  readonly world: World;
  readonly protocol: ArchiveProtocol;
  readonly random: SeededRandom;
  readonly counted: readonly CountedStore[];
  readonly observed: readonly ObservedStore[];
  /** What a store gets now and then does not fit into a record, and lies apart. */
  readonly isLarge: boolean;
  /** Marks as they were put, by id. */
  readonly marks = new Map<string, Mark>();
  /** By history and credential, up to where its log was said to be durable. */
  readonly durable = new Map<string, { readonly credential: string; readonly position: Position }>();
  /** So many operators may be giving up marks now. */
  forgetting = 0;
  readonly photographs: Photograph[] = [];
  readonly totals = { marks: 0, merges: 0, restored: 0, verified: 0, kills: 0, fences: 0 };

  constructor(options: ArchiveWorldOptions) {
    const { seed, protocol } = options;
    this.protocol = protocol;
    this.world = new World({ ...options, listed: 60 });
    this.random = createSeededRandom(`archive ${seed}`);
    const { random } = this;
    this.isLarge = random.chance(0.1);
    const counted = {
      keeps: createSeededRandom(`keeps ${seed}`).chance(0.5),
      onLoss: (message: string) => this.world.violate(message),
    };
    this.counted = random.chance(0.25)
      ? [new CountedStore('orders', counted), new CountedStore('users', counted)]
      : [new CountedStore('orders', counted)];
    this.observed = random.chance(0.5) ? [new ObservedStore('files', random.fork('files'))] : [];
  }

  get stores(): readonly SimulatedStore[] {
    return [...this.counted, ...this.observed];
  }

  store(name: string): SimulatedStore | undefined {
    return this.stores.find((store) => store.name === name);
  }
}

/** What goes wrong on a host that works for hours. */
export function drawAgentFaults(random: SeededRandom): HostFaults {
  const latencyMs = 1 + random.integer(random.pick([50, 50, 1000, 20_000]));
  const own: HostFaults = {
    offsetMs: (random.next() - 0.5) * 10 * 60 * MINUTE_MS,
    drift: (random.next() - 0.5) * 0.02,
    latencyMs,
    leaseMs: ARCHIVE_LEASE_MS,
    freezeChance: 0,
    freezeMs: ARCHIVE_LEASE_MS * random.pick([0.3, 0.6, 1.2, 2.5]),
    stallChance: 0,
    cutChance: 0,
    failChance: 0,
    deathChance: 0,
  };
  const kind = random.integer(6);
  if (kind === 0) return own;
  if (kind === 1) return { ...own, freezeChance: 0.004 };
  if (kind === 2) return { ...own, stallChance: 0.004 };
  if (kind === 3) return { ...own, failChance: 0.02, deathChance: 0.002 };
  if (kind === 4) return { ...own, freezeChance: 0.001, cutChance: 0.003 };
  return { ...own, freezeChance: 0.001, stallChance: 0.001, failChance: 0.005, deathChance: 0.002 };
}
