import { must } from '../../src/core/must.ts';
import type { Clock, Run } from '../../src/core/run.ts';
import type { SeededRandom } from '../../src/flow/random.ts';
import { createSeededRandom } from '../../src/flow/random.ts';
import type { VirtualClock } from '../../src/flow/virtual-clock.ts';
import { createVirtualClock } from '../../src/flow/virtual-clock.ts';
import type { ObjectStore } from '../../src/objects/object-store.ts';
import { retryingStore } from '../../src/objects/wrappers/retrying.ts';
import type { RepositoryAccess } from '../../src/repository/access.ts';
import type { KeptRecords } from '../../src/repository/records/kept-records.ts';
import type { Head } from '../../src/repository/records/heads.ts';
import { sweep } from '../../src/repository/sweep.ts';
import { MemoryObjectStore } from '../../src/testing/memory-object-store.ts';
import { Model } from './model.ts';
import { eventOf, SimulatedHost } from './simulated-host.ts';
import type { HostFaults, Phase, SimulatedCall } from './simulated-host.ts';
import { LEASE_MS } from './template.ts';
import type { Template } from './template.ts';

/** Parts of the protocol that a mutant does otherwise. */
export type Protocol = {
  readonly sweep: typeof sweep;
  /** What a session that writes sees of the object store and of time. */
  readonly writerAccess: (access: RepositoryAccess) => RepositoryAccess;
  /** What a session that pins sees of it. */
  readonly pinStore: (objects: ObjectStore) => ObjectStore;
};

export const realProtocol: Protocol = { sweep, writerAccess: (access) => access, pinStore: (objects) => objects };

/** A process on a host, as one command after another runs there. */
export type Actor = {
  readonly host: SimulatedHost;
  readonly access: RepositoryAccess;
  readonly random: SeededRandom;
  /** Heads that this host saw. */
  remembered: readonly Head[];
};

export type WorldOptions = {
  readonly seed: number;
  readonly template: Template;
  readonly protocol: Protocol;
  /** An object store that lists at once, and no vandal. */
  readonly isPlain?: boolean | undefined;
  /** Objects have the time at which their creation began; drawn when it is not given. */
  readonly stampsEarly?: boolean | undefined;
  /** What hosts have read before. */
  readonly kept?: KeptRecords | undefined;
  /** A listing comes in batches of so many at most. */
  readonly listed?: number | undefined;
};

/** One schedule: an object store, hosts on it, and what they were told. */
export class World {
  readonly seed: number;
  readonly protocol: Protocol;
  readonly random: SeededRandom;
  readonly clock: VirtualClock;
  readonly memory: MemoryObjectStore;
  readonly model = new Model();
  /** Listings don't show at once what was created or deleted. */
  readonly lags: boolean;
  /** Somebody deletes packs that nothing needs, without asking. */
  hasVandal: boolean;
  readonly #stampsEarly: boolean;
  readonly violations: string[] = [];
  readonly run: Run = { signal: new AbortController().signal };
  readonly calls: SimulatedCall[] = [];
  /** Where calls wait for a script, and not only for time. */
  script: ((call: SimulatedCall, phase: Phase) => Promise<void> | undefined) | undefined;
  readonly pool: readonly Uint8Array[];
  readonly garbage: readonly string[];
  readonly #template: Template;
  readonly #events = new Map<string, PromiseWithResolvers<void>>();

  readonly #options: WorldOptions;

  constructor(options: WorldOptions) {
    const { seed, template, protocol, isPlain = false } = options;
    this.#options = options;
    this.seed = seed;
    this.protocol = protocol;
    this.#template = template;
    const random = createSeededRandom(seed);
    this.random = random;
    this.clock = createVirtualClock(template.nowMs);
    this.lags = !isPlain && random.chance(0.25);
    this.#stampsEarly = options.stampsEarly ?? (!isPlain && random.fork('stamps').chance(0.3));
    this.hasVandal = !isPlain && !this.lags && random.chance(0.1);
    const lag = random.fork('lag');
    this.memory = new MemoryObjectStore({
      clock: inWholeMilliseconds(this.clock),
      listingLagMs: this.lags ? () => (lag.chance(0.6) ? 0 : lag.integer(template.leaseMs * 0.45)) : undefined,
    });
    this.memory.restore(template.snapshot);
    this.pool = template.pool;
    this.garbage = template.garbage;
    for (const [key, content] of template.contents) this.model.contents.set(key, content);
    for (const mark of template.marks) this.model.commit(mark);
  }

  get leaseMs(): number {
    return this.#template.leaseMs;
  }

  violate(what: string): void {
    this.violations.push(`${this.clock.monotonicMs() / this.leaseMs} leases: ${what}`);
  }

  /** A host with one process; `credential` counts the template's. `narrow`: it has no passphrase, only its writer's credential. */
  actor(name: string, credential: number, options: { readonly faults: HostFaults; readonly narrow: boolean }): Actor {
    const random = this.random.fork(name);
    const host = new SimulatedHost({
      name,
      clock: this.clock,
      memory: this.memory,
      stampsEarly: this.#stampsEarly,
      random: random.fork('host'),
      faults: options.faults,
      listed: this.#options.listed,
      onCall: (call, phase) => this.#onCall(call, phase),
      next: (event) => this.#next(event).promise,
    });
    const { runtime } = host;
    const objects = random.chance(0.5)
      ? retryingStore(host.objects, {
          clock: host.clock,
          random: runtime.random,
          attempts: 3,
          firstMs: 1000,
          maxMs: 5000,
        })
      : host.objects;
    const { keyring, ...rest } = this.access(credential);
    const { kept } = this.#options;
    const access = { ...rest, ...(options.narrow ? {} : { keyring }), objects, runtime, kept };
    return { host, access, random, remembered: [] };
  }

  access(credential: number): RepositoryAccess {
    const { accesses } = this.#template;
    return must(accesses[credential % accesses.length], 'a credential');
  }

  #onCall(call: SimulatedCall, phase: Phase): Promise<void> | undefined {
    if (phase === 'before') this.calls.push(call);
    if (call.name === 'create' || call.name === 'delete') {
      const event = eventOf(call, phase);
      this.#events.get(event)?.resolve();
      this.#events.delete(event);
    }
    return this.script?.(call, phase);
  }

  #next(event: string): PromiseWithResolvers<void> {
    const waiting = this.#events.get(event) ?? Promise.withResolvers<void>();
    this.#events.set(event, waiting);
    return waiting;
  }
}

/** As object stores tell the time. */
function inWholeMilliseconds(clock: Clock): Clock {
  return {
    nowMs: () => Math.floor(clock.nowMs()),
    monotonicMs: () => clock.monotonicMs(),
    sleep: (delayMs, run) => clock.sleep(delayMs, run),
  };
}

/** A host that does nothing wrong, if a little slowly. */
export const calm: HostFaults = {
  offsetMs: 0,
  drift: 0,
  latencyMs: LEASE_MS / 1000,
  leaseMs: LEASE_MS,
  freezeChance: 0,
  freezeMs: 0,
  stallChance: 0,
  cutChance: 0,
  failChance: 0,
  deathChance: 0,
};

export function drawFaults(random: SeededRandom, leaseMs: number = LEASE_MS): HostFaults {
  const offsetMs = (random.next() - 0.5) * 20 * leaseMs;
  const drift = (random.next() - 0.5) * 0.02;
  const own = { ...calm, leaseMs, offsetMs, drift, latencyMs: 1 + random.integer(leaseMs / random.pick([300, 3000])) };
  const kind = random.integer(6);
  const freezeMs = leaseMs * random.pick([0.6, 1.2, 2.5, 4]);
  if (kind === 0) return own;
  if (kind === 1) return { ...own, freezeChance: 0.03, freezeMs };
  if (kind === 2) return { ...own, stallChance: 0.03, freezeMs };
  if (kind === 3) return { ...own, failChance: 0.03, deathChance: 0.01 };
  if (kind === 4) return { ...own, freezeChance: 0.01, freezeMs, cutChance: 0.02 };
  return { ...own, freezeChance: 0.01, freezeMs, stallChance: 0.01, failChance: 0.01, deathChance: 0.003 };
}
