import { TidemarkError } from '../../src/core/errors.ts';
import type { Clock, Run, Runtime } from '../../src/core/run.ts';
import type { SeededRandom } from '../../src/flow/random.ts';
import type { VirtualClock } from '../../src/flow/virtual-clock.ts';
import type { ObjectInfo, ObjectStore } from '../../src/objects/object-store.ts';
import type { MemoryObjectStore } from '../../src/testing/memory-object-store.ts';

/** How a host misbehaves. Chances are for each call that its sessions make. */
export type HostFaults = {
  /** The host's clock against the object store's. */
  readonly offsetMs: number;
  readonly drift: number;
  /** A call takes this long at most, before its effect and after it. */
  readonly latencyMs: number;
  readonly leaseMs: number;
  /** The whole host stands still, for up to `freezeMs` or until something happens elsewhere. */
  readonly freezeChance: number;
  readonly freezeMs: number;
  /** One call takes very long, before or after its effect, while the rest of the host goes on. */
  readonly stallChance: number;
  /** The network is away for up to `freezeMs`: calls fail, some of them after their effect. */
  readonly cutChance: number;
  readonly failChance: number;
  readonly deathChance: number;
};

export type SimulatedCall = {
  readonly host: string;
  readonly name: 'create' | 'read' | 'stat' | 'list' | 'delete' | 'nowMs';
  readonly keys: readonly string[];
};

export type HostOptions = {
  readonly name: string;
  readonly clock: VirtualClock;
  readonly memory: MemoryObjectStore;
  /** An object's time is that of the call's begin, and not of its effect. */
  readonly stampsEarly: boolean;
  readonly random: SeededRandom;
  readonly faults: HostFaults;
  /** A listing comes in batches of so many at most. */
  readonly listed?: number | undefined;
  /** Told before a call's effect and after it. The call goes on when it resolves. */
  readonly onCall: (call: SimulatedCall, phase: Phase) => Promise<void> | undefined;
  /** Resolves when somebody does something of that kind. */
  readonly next: (event: string) => Promise<void>;
};

export type Phase = 'before' | 'after';

const FOLDERS = ['sessions', 'manifests', 'journal', 'void', 'pins', 'unpins', 'condemned', 'ledger'];
/** What a host that stands still may wait for. */
const EVENTS = ['before', 'after'].flatMap((phase) => [
  `${phase} delete packs`,
  `${phase} delete condemned`,
  ...FOLDERS.map((folder) => `${phase} create ${folder}`),
]);
/** It waits no longer than so many leases. */
const LONGEST_WAIT_LEASES = 6;

export function eventOf({ name, keys }: SimulatedCall, phase: Phase): string {
  const key = keys.find((item) => item.startsWith('packs/')) ?? keys[0] ?? '';
  return `${phase} ${name} ${key.slice(0, key.indexOf('/'))}`;
}

/** Calls that must take effect soon after they were made, or not at all: the protocol relies on it (repository-format.md, 11). */
function isPrompt({ name, keys }: SimulatedCall): boolean {
  return name === 'delete' || (name === 'create' && keys.some((key) => key.startsWith('ledger/')));
}

/** Records after which, or before which, an outcome turns. */
const TURNING = /^(?:manifests|journal|void|pins|unpins|condemned|ledger)\//;
/** A call that is prompt takes up to this part of a lease, where it takes long. */
const PROMPT_PART = 1 / 8;

/** Where something that goes wrong makes a difference, more goes wrong. */
function weightOf({ name, keys }: SimulatedCall): number {
  if (name === 'nowMs' || (name === 'create' && keys.some((key) => TURNING.test(key)))) return 3;
  const isLook = name === 'list' && keys.includes('condemned/');
  return name === 'create' || name === 'delete' || isLook ? 1 : 0.1;
}

/** A machine with a clock of its own that reaches the object store over a bad network. */
export class SimulatedHost {
  readonly name: string;
  readonly clock: Clock;
  readonly runtime: Runtime;
  readonly objects: ObjectStore;
  /** Packs and manifests that it put. */
  readonly made = new Set<string>();
  /** Set where something was done to the host that no undisturbed host sees. */
  disturbed = false;
  /** Aborts when the process dies. */
  readonly life = new AbortController();
  /** What was set of the wall clock meanwhile. */
  jumpedMs = 0;
  readonly #options: HostOptions;
  readonly #random: SeededRandom;
  #frozenUntilMs = 0;
  #cutUntilMs = 0;
  #thaw: Promise<void> | undefined;

  constructor(options: HostOptions) {
    this.name = options.name;
    this.#options = options;
    this.#random = options.random;
    this.clock = this.#createClock();
    const logger = { log: () => undefined };
    this.runtime = {
      clock: this.clock,
      random: options.random.fork('bytes').bytes,
      logger,
      temporaryFolder: '/nowhere',
    };
    this.objects = this.#createStore();
  }

  get dead(): boolean {
    return this.life.signal.aborted;
  }

  /** Whatever is under way of it ends without a trace. */
  kill(): void {
    this.life.abort(new TidemarkError('INTERRUPTED', 'simulated: the process is killed'));
  }

  #createClock(): Clock {
    const { clock, faults } = this.#options;
    const rate = 1 + faults.drift;
    return {
      nowMs: () => clock.nowMs() + faults.offsetMs + this.jumpedMs + clock.monotonicMs() * faults.drift,
      monotonicMs: () => clock.monotonicMs() * rate,
      sleep: async (delayMs, run) => {
        await clock.sleep(delayMs / rate, run);
        if (this.isFrozen) await this.#awake(run);
      },
    };
  }

  #createStore(): ObjectStore {
    const { memory } = this.#options;
    return {
      url: memory.url,
      capabilities: memory.capabilities,
      create: (key, body, run) => this.#create(key, body, run),
      read: (key, offset, into, run) => this.#call('read', [key], () => memory.read(key, offset, into, run), run),
      stat: (key, run) => this.#call('stat', [key], () => memory.stat(key, run), run),
      delete: (keys, run) => this.#call('delete', keys, () => memory.delete(keys, run), run),
      nowMs: (run) => this.#call('nowMs', [], () => memory.nowMs(run), run),
      list: (prefix, after, run) => this.#list(prefix, after, run),
      async [Symbol.asyncDispose]() {},
    };
  }

  async #create(key: string, body: readonly Uint8Array[], run: Run): Promise<void> {
    const { memory, clock, stampsEarly } = this.#options;
    const begunMs = Math.floor(clock.nowMs());
    const effect = (): Promise<void> =>
      stampsEarly ? memory.createBegun({ key, body, begunMs }, run) : memory.create(key, body, run);
    await this.#call('create', [key], effect, run);
  }

  /** In small batches, so that others come in between. */
  async *#list(prefix: string, after: string, run: Run): AsyncGenerator<readonly ObjectInfo[]> {
    const { memory, listed = 20 } = this.#options;
    const size = 1 + this.#random.integer(listed);
    for (let last = after; ; ) {
      const next = await this.#call('list', [prefix], () => firstOf(memory, { prefix, after: last, size }, run), run);
      const end = next.at(-1);
      if (end === undefined) return;
      yield next;
      if (next.length < size) return;
      last = end.key;
    }
  }

  async #call<T>(name: SimulatedCall['name'], keys: readonly string[], effect: () => Promise<T>, run: Run): Promise<T> {
    run.signal.throwIfAborted();
    const call = { host: this.name, name, keys };
    if (this.isFrozen) await this.#awake(run);
    this.#refuseDead();
    const { faults, onCall } = this.#options;
    const random = this.#random;
    const held = onCall(call, 'before');
    if (held !== undefined) await held;
    const weight = weightOf(call);
    const fails = random.chance(faults.failChance * weight);
    const dies = random.chance(faults.deathChance * weight);
    const isBefore = random.chance(0.5);
    await this.#pause(call, { isPrompt: isPrompt(call) }, run);
    if (dies && isBefore) this.#die();
    if ((fails || this.#isCut) && isBefore) this.#fail();
    const result = await effect();
    void onCall(call, 'after');
    if (name === 'create') for (const key of keys) this.made.add(key);
    await this.#pause(call, { isPrompt: false }, run);
    if (dies) this.#die();
    if (fails || this.#isCut) this.#fail();
    return result;
  }

  async #pause(call: SimulatedCall, { isPrompt }: { readonly isPrompt: boolean }, run: Run): Promise<void> {
    const { clock, faults } = this.#options;
    const random = this.#random;
    if (random.chance(0.4)) await clock.sleep(random.integer(faults.latencyMs), run);
    if (isPrompt) {
      if (random.chance(0.2)) await clock.sleep(random.integer(faults.leaseMs * PROMPT_PART), run);
    } else {
      if (random.chance(faults.freezeChance * weightOf(call))) this.#freeze();
      if (random.chance(faults.stallChance * weightOf(call))) {
        this.disturbed = true;
        await clock.sleep(random.integer(faults.freezeMs), run);
      }
      if (random.chance(faults.cutChance * weightOf(call))) this.cut(random.integer(faults.freezeMs));
    }
    if (this.isFrozen) await this.#awake(run);
    this.#refuseDead();
  }

  get isFrozen(): boolean {
    return this.#frozenUntilMs > this.#options.clock.monotonicMs();
  }

  get #isCut(): boolean {
    return this.#cutUntilMs > this.#options.clock.monotonicMs();
  }

  /** Its network is away for so long, where it stands still from when it goes on. */
  cut(forMs: number): void {
    this.disturbed = true;
    this.#cutUntilMs = Math.max(this.#options.clock.monotonicMs(), this.#frozenUntilMs) + forMs;
  }

  /** The whole host stands still for so long. */
  freeze(forMs: number): void {
    this.disturbed = true;
    this.#frozenUntilMs = this.#options.clock.monotonicMs() + forMs;
    this.#thaw = undefined;
  }

  #freeze(): void {
    const { faults, next } = this.#options;
    const random = this.#random;
    const waits = random.chance(0.6);
    this.freeze(random.integer(waits ? LONGEST_WAIT_LEASES * faults.leaseMs : faults.freezeMs));
    this.#thaw = waits ? next(random.pick(EVENTS)) : undefined;
  }

  async #awake(run: Run): Promise<void> {
    const { clock } = this.#options;
    for (let leftMs; (leftMs = this.#frozenUntilMs - clock.monotonicMs()) > 0; ) {
      const over = new AbortController();
      const thaw = this.#thaw?.then(() => {
        this.#frozenUntilMs = 0;
        over.abort();
      });
      try {
        await clock.sleep(leftMs, { signal: AbortSignal.any([run.signal, over.signal]) });
      } catch (error) {
        if (!over.signal.aborted) throw error;
      }
      void thaw;
    }
  }

  #refuseDead(): void {
    if (this.dead) throw new TidemarkError('INTERRUPTED', 'simulated: the process is dead');
  }

  #die(): never {
    this.kill();
    throw this.life.signal.reason;
  }

  #fail(): never {
    this.disturbed = true;
    throw new TidemarkError('REPOSITORY_UNREACHABLE', 'simulated: the connection was reset', { disposition: 'retry' });
  }
}

type Page = { readonly prefix: string; readonly after: string; readonly size: number };

async function firstOf(memory: ObjectStore, { prefix, after, size }: Page, run: Run): Promise<readonly ObjectInfo[]> {
  for await (const batch of memory.list(prefix, after, run)) return batch.slice(0, size);
  return [];
}
