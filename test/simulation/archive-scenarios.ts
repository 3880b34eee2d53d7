import { isTidemarkError } from '../../src/core/errors.ts';
import { Agent, blankDisk } from './archive-agent.ts';
import { checkArchive } from './archive-checks.ts';
import { ArchiveWorld, MINUTE_MS, realArchiveProtocol } from './archive-world.ts';
import type { ArchiveProtocol } from './archive-world.ts';
import { sweepToTheEnd } from './checks.ts';
import { sweepOnce } from './tasks.ts';
import type { Template } from './template.ts';
import { nthPut, Turns } from './turns.ts';
import type { Turn } from './turns.ts';
import { calm } from './world.ts';
import type { Actor } from './world.ts';

/** As long as a host sleeps. */
const SLEEP_LEASES = 12;

/** Agents that do what a scenario writes down. */
class ArchiveStage {
  readonly archive: ArchiveWorld;
  readonly #turns: Turns;
  #changes = 0;

  constructor(template: Template, protocol: ArchiveProtocol) {
    this.archive = new ArchiveWorld({ seed: 0, template, protocol, kept: undefined, isPlain: true });
    this.#turns = new Turns(this.archive.world);
  }

  #actor(name: string): Actor {
    const { world } = this.archive;
    return world.actor(name, 0, { faults: { ...calm, latencyMs: 1, leaseMs: world.leaseMs }, narrow: false });
  }

  /** On a host of its own. */
  start(name: string): { readonly agent: Agent; readonly ended: Promise<void> } {
    const { archive } = this;
    for (const store of archive.counted) store.isForgiven = true;
    const options = { flushMs: 1_000, spoolBytes: 1_000_000, storeFailChance: 0, onMark: async () => undefined };
    const agent = new Agent({ archive, actor: this.#actor(name), disk: blankDisk(), ...options });
    return { agent, ended: agent.run() };
  }

  /** A change of all stores each half of a minute, and a mark. */
  async work(agent: Agent, minutes: number): Promise<void> {
    const { world, stores } = this.archive;
    for (let turn = 0; turn < 2 * minutes; turn++) {
      this.#changes++;
      for (const store of stores) store.change(new Map([['counter', `${this.#changes}`]]), world.clock.nowMs());
      if (agent.isSettled) void agent.mark({}, agent.actor.host.life).catch(allowFailure);
      await world.clock.sleep(MINUTE_MS / 2, world.run);
    }
  }

  /** Its host sleeps right after the next such call. */
  sleepAfter({ actor: { host } }: Agent, matches: Turn['matches']): void {
    const { leaseMs } = this.archive.world;
    this.#turns.add({ host: host.name, matches, happens: () => host.freeze(SLEEP_LEASES * leaseMs) });
  }

  dieAfter({ actor: { host } }: Agent, matches: Turn['matches']): void {
    this.#turns.add({ host: host.name, matches, happens: () => host.kill() });
  }

  /** So many sweeps, each long after the one before. */
  async sweep(times: number): Promise<void> {
    const { world } = this.archive;
    const sweeper = this.#actor('sweeper');
    for (let turn = 0; turn < times; turn++) {
      await world.clock.sleep(2.5 * world.leaseMs, world.run);
      await sweepOnce(world, sweeper).catch(allowFailure);
    }
  }
}

function allowFailure(error: unknown): void {
  if (!isTidemarkError(error) || error.code === 'BUG') throw error;
}

export type ArchiveScenario = { readonly name: string; play(stage: ArchiveStage): Promise<void> };

/** Plays it to the end and says what was broken. */
export async function playArchiveScenario(
  scenario: ArchiveScenario,
  template: Template,
  protocol: ArchiveProtocol = realArchiveProtocol,
): Promise<readonly string[]> {
  const stage = new ArchiveStage(template, protocol);
  const { archive } = stage;
  await archive.world.clock.runUntil(
    (async () => {
      await scenario.play(stage);
      await sweepToTheEnd(archive.world, []);
    })(),
  );
  await checkArchive(archive);
  return archive.world.violations;
}

export const archiveScenarios: readonly ArchiveScenario[] = [
  {
    name: 'a writer sleeps right after a flush, and dies when it has woken and has taken that back',
    async play(stage) {
      const { agent, ended } = stage.start('agent');
      stage.sleepAfter(agent, nthPut('journal', 8));
      stage.dieAfter(agent, nthPut('void'));
      await stage.work(agent, 6);
      await stage.sweep(5);
      agent.actor.host.kill();
      await ended;
    },
  },
  {
    name: 'a writer sleeps right after it has put a merge, and sweeps come',
    async play(stage) {
      const { archive } = stage;
      const { agent, ended } = stage.start('agent');
      const isMerge = nthPut('journal');
      stage.sleepAfter(agent, (call) => archive.totals.merges > 0 && isMerge(call));
      await stage.work(agent, 8);
      await stage.sweep(5);
      await stage.work(agent, 2);
      agent.stop();
      await ended;
    },
  },
  {
    name: 'a writer sleeps right after a flush, another goes on from there, and the first wakes and takes that back',
    async play(stage) {
      const first = stage.start('first');
      await stage.work(first.agent, 3);
      stage.sleepAfter(first.agent, nthPut('journal'));
      stage.dieAfter(first.agent, nthPut('void'));
      await stage.work(first.agent, 1);
      const second = stage.start('second');
      await stage.work(second.agent, 3);
      // Before it merges, which would put all of that again as well.
      second.agent.stop();
      await second.ended;
      await stage.sweep(5);
      first.agent.actor.host.kill();
      await first.ended;
    },
  },
];
