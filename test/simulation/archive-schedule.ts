import { isTidemarkError } from '../../src/core/errors.ts';
import { must } from '../../src/core/must.ts';
import type { SeededRandom } from '../../src/flow/random.ts';
import { KeptRecords } from '../../src/repository/records/kept-records.ts';
import { forget } from '../../src/repository/maintainer.ts';
import { Agent, blankDisk } from './archive-agent.ts';
import type { AgentDisk } from './archive-agent.ts';
import {
  checkArchive,
  checkLogGarbage,
  checkNow,
  openReader,
  problemsOf,
  verifyPhotographs,
} from './archive-checks.ts';
import { ArchiveWorld, drawAgentFaults, MINUTE_MS, realArchiveProtocol } from './archive-world.ts';
import type { ArchiveProtocol } from './archive-world.ts';
import { sweepToTheEnd } from './checks.ts';
import { pinOnce, sweepOnce } from './tasks.ts';
import type { Template } from './template.ts';
import { nthPut, Turns } from './turns.ts';
import { calm, drawFaults } from './world.ts';
import type { Actor } from './world.ts';

export type ArchiveOutcome = {
  readonly violations: readonly string[];
  readonly totals: ArchiveWorld['totals'] & {
    readonly deleted: number;
    readonly calls: number;
    readonly hours: number;
  };
};

/** Runs the schedule of a seed: always the same for the same code. */
export async function runArchiveSchedule(
  seed: number,
  template: Template,
  protocol: ArchiveProtocol = realArchiveProtocol,
): Promise<ArchiveOutcome> {
  const kept = seed % 4 === 0 ? undefined : await openKept(template);
  const archive = new ArchiveWorld({ seed, template, protocol, kept });
  const { world } = archive;
  await world.clock.runUntil(new Schedule(archive).play());
  await checkArchive(archive);
  if (world.violations.length === 0) await checkLogGarbage(archive);
  await verifyPhotographs(archive);
  const deleted = world.calls.reduce((sum, { name, keys }) => sum + (name === 'delete' ? keys.length : 0), 0);
  const hours = world.clock.monotonicMs() / MINUTE_MS / 60;
  return { violations: world.violations, totals: { ...archive.totals, deleted, calls: world.calls.length, hours } };
}

/** Before time is virtual: it looks for a file. */
async function openKept({ accesses }: Template): Promise<KeptRecords> {
  const { header, runtime } = must(accesses[0], 'an access');
  const secret = new Uint8Array(32);
  const options = { folder: '/nowhere', secret, repository: header.id, runtime, mayWrite: false };
  return await KeptRecords.open(options, { signal: new AbortController().signal });
}

const ZONES = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', 'Australia/Lord_Howe'];
const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];

class Schedule {
  readonly #archive: ArchiveWorld;
  readonly #random: SeededRandom;
  readonly #actors: Actor[] = [];
  readonly #endMs: number;
  readonly #turns: Turns;
  #isOver = false;
  #agents = 0;

  constructor(archive: ArchiveWorld) {
    this.#archive = archive;
    this.#random = archive.random.fork('schedule');
    this.#endMs = MINUTE_MS * (5 + this.#random.integer(this.#random.pick([10, 20, 30, 80])));
    this.#turns = new Turns(archive.world);
  }

  async play(): Promise<void> {
    const { world } = this.#archive;
    const random = this.#random;
    const tasks = this.#archive.stores.map((store) => this.#work(store.name));
    tasks.push(this.#supervise());
    const maintainers = random.chance(0.2) ? 2 : 1;
    for (let at = 0; at < maintainers; at += 1) tasks.push(this.#maintain(at));
    tasks.push(this.#restore(), this.#photograph());
    await Promise.all(tasks);
    await sweepToTheEnd(world, this.#actors);
    // Until listings show all that the last sweep did.
    await world.clock.sleep(world.leaseMs, world.run);
  }

  #actor(name: string, options: { readonly isCalm: boolean; readonly credential: number; readonly narrow: boolean }) {
    const { world, random } = this.#archive;
    const { leaseMs } = world;
    const faults = options.isCalm
      ? { ...calm, latencyMs: 2, leaseMs }
      : name.startsWith('agent')
        ? drawAgentFaults(random)
        : drawFaults(random, leaseMs);
    const actor = world.actor(name, options.credential, { faults, narrow: options.narrow });
    this.#actors.push(actor);
    return actor;
  }

  /** An application that changes a store, in bursts. */
  async #work(name: string): Promise<void> {
    const { world } = this.#archive;
    const random = this.#random.fork(`work on ${name}`);
    const store = must(this.#archive.store(name), 'a store');
    const restMs = MINUTE_MS * random.pick([2, 4, 8]);
    let counter = 0;
    for (;;) {
      const burst = 1 + random.integer(3);
      for (let at = 0; at < burst; at += 1) {
        counter += 1;
        const names = NAMES.filter(() => random.chance(0.35));
        const changes = names.map((key) => [key, random.chance(0.2) ? undefined : `${counter}`] as const);
        const large =
          this.#archive.isLarge && random.chance(0.3)
            ? ([['large', Buffer.from(random.bytes(20_000)).toString('hex')]] as const)
            : [];
        store.change(new Map([['counter', `${counter}`], ...changes, ...large]), world.clock.nowMs());
      }
      if (random.chance(0.01)) {
        for (const counted of this.#archive.counted) if (counted.name === name) counted.compact();
      }
      await world.clock.sleep(random.integer(2 * restMs), world.run);
      if (world.clock.monotonicMs() >= this.#endMs) return;
    }
  }

  /** Starts an agent, and another one when it has ended; the last one in peace. */
  async #supervise(): Promise<void> {
    const { world, totals } = this.#archive;
    const random = this.#random.fork('supervisor');
    let disk = blankDisk();
    let credential = 0;
    const zombies: { readonly agent: Agent; readonly ended: Promise<void> }[] = [];
    while (world.clock.monotonicMs() < this.#endMs) {
      await this.#untilListed();
      const agent = this.#agent(disk, { credential, isCalm: false });
      const ended = agent.run();
      const working = this.#useAgent(agent);
      const stayMs = MINUTE_MS * (1 + random.integer(random.pick([5, 20, 60, 200])));
      const left = Math.max(0, this.#endMs - world.clock.monotonicMs());
      const asleep = random.chance(0.1) ? this.#asleep(agent) : ended;
      await Promise.race([ended, asleep, world.clock.sleep(Math.min(stayMs, left), world.run)]);
      const how = agent.actor.host.isFrozen && asleep !== ended ? 0 : random.integer(10);
      if (how === 0 && !agent.actor.host.dead) {
        // It is taken for dead, and goes on.
        zombies.push({ agent, ended: Promise.all([ended, working]).then(() => undefined) });
        disk = this.#blankDisk();
      } else {
        if (how < 6) agent.actor.host.kill();
        else agent.stop();
        totals.kills += agent.actor.host.dead ? 1 : 0;
        await Promise.all([ended, working]);
        if (random.chance(0.15)) disk = this.#blankDisk();
        // Two writers of one history, both at work, are a fork: an alarm, and no matter of this.
        if (random.chance(0.1) && zombies.length === 0) {
          credential = 1 - credential;
          for (const store of this.#archive.counted) store.isForgiven = true;
        }
      }
      if (random.chance(0.5)) await world.clock.sleep(random.integer(random.pick([1, 10, 50]) * MINUTE_MS), world.run);
    }
    for (const { agent } of zombies) agent.stop();
    await Promise.all(zombies.map(({ ended }) => ended));
    await this.#finish(disk, credential);
  }

  /** Resolves when its host sleeps, right before or after something of the journal takes effect. Some wake without a network, or die when they have taken that back. */
  #asleep({ actor }: Agent): Promise<void> {
    const random = this.#random;
    const { host } = actor;
    const { leaseMs } = this.#archive.world;
    const { promise, resolve } = Promise.withResolvers<void>();
    const [sleepMs, cutMs] = [random.pick([0.6, 1.2, 2.5, 6]) * leaseMs, random.pick([0, 0, 0.1, 1]) * leaseMs];
    this.#turns.add({
      host: host.name,
      phase: random.pick(['before', 'after']),
      matches: nthPut('journal', 1 + random.integer(random.pick([3, 20]))),
      happens: () => {
        host.freeze(sleepMs);
        if (cutMs > 0) host.cut(cutMs);
        resolve();
      },
    });
    if (random.chance(0.5)) {
      this.#turns.add({ host: host.name, matches: nthPut('void'), happens: () => host.kill() });
    }
    return promise;
  }

  /** Of a host that has lost all that it had kept of its stores. */
  #blankDisk(): AgentDisk {
    for (const store of this.#archive.counted) store.isForgiven = true;
    return blankDisk();
  }

  /** Where listings lag, an agent that starts may not see what the one before put or voided last: nothing asks for what may follow yet. */
  async #untilListed(): Promise<void> {
    const { world } = this.#archive;
    if (world.lags) await world.clock.sleep(world.leaseMs / 2, world.run);
  }

  /** Whatever happened before, an agent in peace catches up with all stores. */
  async #finish(disk: AgentDisk, credential: number): Promise<void> {
    const { world } = this.#archive;
    await this.#untilListed();
    const agent = this.#agent(disk, { credential, isCalm: true });
    const ended = agent.run();
    // Else what was recorded since the last one stays without a mark.
    const isMarked = this.#random.chance(0.6);
    const isComplete = async (): Promise<boolean> => {
      return !isMarked || (await agent.mark({ name: 'the end' }, world.run)).missing.length === 0;
    };
    let isDone = false;
    for (let turn = 0; turn < 60 && !isDone; turn += 1) {
      await world.clock.sleep(MINUTE_MS, world.run);
      isDone = agent.isWhole && (await isComplete());
    }
    if (!isDone) world.violate(`an agent in peace does not record all stores: ${agent.troubles.join(', ')}`);
    agent.stop();
    await ended;
    this.#isOver = true;
  }

  #agent(disk: AgentDisk, options: { readonly credential: number; readonly isCalm: boolean }): Agent {
    const random = this.#random;
    const actor = this.#actor(`agent ${this.#agents}`, { ...options, narrow: random.chance(0.5) });
    this.#agents += 1;
    return new Agent({
      archive: this.#archive,
      actor,
      disk,
      flushMs: random.pick([1_000, 20_000]),
      spoolBytes: this.#archive.isLarge ? 400_000 : random.pick([2_000, 1_000_000]),
      storeFailChance: options.isCalm ? 0 : random.pick([0, 0, 0.03]),
      onMark: async ({ id }) => {
        if (random.chance(0.2)) await checkNow(this.#archive, id);
      },
    });
  }

  /** Marks and bases, and a wall clock that is set, until the agent has ended. */
  async #useAgent(agent: Agent): Promise<void> {
    const { actor } = agent;
    const { host } = actor;
    const random = this.#random.fork(`user of ${host.name}`);
    const markMs = MINUTE_MS * random.pick([2, 4, 8]);
    try {
      for (;;) {
        await host.clock.sleep(random.integer(2 * markMs), host.life);
        if (random.chance(0.05)) host.jumpedMs += (random.next() - 0.5) * 12 * 60 * MINUTE_MS;
        if (agent.hasEnded) return;
        if (!agent.isSettled) continue;
        if (random.chance(0.08)) await agent.takeBase(random.pick(this.#archive.stores).name, host.life);
        const name = random.chance(0.05) ? 'named' : undefined;
        void agent.mark({ name }, host.life).catch((error: unknown) => this.#allowFailure(error));
      }
    } catch (error) {
      this.#allowFailure(error);
      if (!host.dead && !agent.hasEnded) await this.#useAgent(agent);
    }
  }

  #allowFailure(error: unknown): void {
    if (!isTidemarkError(error) || error.code === 'BUG') {
      this.#archive.world.violate(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
  }

  async #maintain(number: number): Promise<void> {
    const { world } = this.#archive;
    const random = this.#random.fork(`maintainer ${number}`);
    const actor = this.#actor(`maintainer ${number}`, { isCalm: false, credential: number, narrow: false });
    while (!this.#isOver && !actor.host.dead) {
      await world.clock.sleep((0.2 + 1.4 * random.next()) * world.leaseMs, world.run);
      try {
        if (random.chance(0.4)) await this.#forget(actor, random);
        if (random.chance(0.1)) await pinOnce(world, actor, (marks) => random.pick(marks));
        if (random.chance(0.7)) await sweepOnce(world, actor);
      } catch (error) {
        this.#allowFailure(error);
        if (isTidemarkError(error, 'REPOSITORY_DAMAGED') && !world.lags) {
          world.violate(`${actor.host.name} took the repository for damaged: ${error.message}`);
        }
      }
    }
  }

  async #forget(actor: Actor, random: SeededRandom): Promise<void> {
    const { world } = this.#archive;
    const { access, remembered } = actor;
    const policy = {
      windowMs: random.pick([0, 0, 20, 60]) * MINUTE_MS,
      last: random.integer(3),
      hourly: random.integer(3),
      daily: random.integer(2),
      weekly: 0,
      monthly: 0,
    };
    const info = { application: 'simulated', host: actor.host.name, command: 'forget', tool: 'simulation' };
    this.#archive.forgetting += 1;
    try {
      const timezone = random.pick(ZONES);
      const { selection, heads } = await forget({ access, remembered, info, policy, timezone }, world.run);
      world.model.giveUp(selection.forgotten.map(({ mark }) => mark.id));
      actor.remembered = heads;
    } catch (error) {
      // Nobody knows whether it took effect.
      world.model.giveUpAny();
      throw error;
    } finally {
      this.#archive.forgetting -= 1;
    }
  }

  /** Somebody restores marks meanwhile, over a bad network. */
  async #restore(): Promise<void> {
    const { world } = this.#archive;
    const random = this.#random.fork('restorer');
    const actor = this.#actor('restorer', { isCalm: false, credential: 0, narrow: false });
    const times = random.integer(2);
    for (let turn = 0; turn < times && !actor.host.dead; turn += 1) {
      await world.clock.sleep(random.integer(this.#endMs), world.run);
      const beganMs = world.clock.monotonicMs();
      try {
        await using reader = await openReader(actor.access, world.run);
        const { marks } = reader.catalogue;
        if (marks.length === 0) continue;
        const record = random.pick(marks);
        const problems = await problemsOf(this.#archive, reader, record);
        // What was given up goes, and who reads for longer than a lease may miss it; so may who meets the network.
        const isOwed = world.model.owed.some(({ id }) => id === record.mark.id);
        const isSlow = world.clock.monotonicMs() - beganMs > world.leaseMs;
        const isExcused = !isOwed || isSlow || world.lags || actor.host.disturbed || actor.host.dead;
        if (!isExcused) for (const problem of problems) world.violate(problem);
      } catch (error) {
        this.#allowFailure(error);
      }
    }
  }

  /** What a verifier sees whose work takes some time. It needs a disk, so that it works afterwards. */
  async #photograph(): Promise<void> {
    const { world, photographs } = this.#archive;
    const random = this.#random.fork('verifier');
    if (random.chance(0.85)) return;
    await world.clock.sleep(random.integer(this.#endMs), world.run);
    const first = world.memory.snapshot();
    await world.clock.sleep(random.integer(3 * world.leaseMs), world.run);
    photographs.push({ first, second: world.memory.snapshot(), calls: random.integer(100) });
  }
}
