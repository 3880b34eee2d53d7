import { isTidemarkError, TidemarkError } from '../../src/core/errors.ts';
import { must } from '../../src/core/must.ts';
import type { MarkRecord } from '../../src/repository/catalogue.ts';
import { checkMarks, sweepToTheEnd } from './checks.ts';
import type { SimulatedCall } from './simulated-host.ts';
import { backUpOnce, giveUpOnce, pinOnce, sweepOnce } from './tasks.ts';
import { LEASE_MS } from './template.ts';
import type { Template } from './template.ts';
import { calm, realProtocol, World } from './world.ts';
import type { Actor, Protocol } from './world.ts';

type Matcher = (call: SimulatedCall) => boolean;

/** A call that waits: `reached` resolves when it was made, and it has its effect once it is released. */
type Hold = { readonly reached: Promise<void>; release(): void };

type Step = { readonly host: string; readonly matches: Matcher; readonly happens: () => Promise<void> };

/** Hosts that do what they are told, in the order that a scenario writes down. */
export class Stage {
  readonly world: World;
  readonly #steps: Step[] = [];

  constructor(template: Template, protocol: Protocol) {
    this.world = new World({ seed: 0, template, protocol, isPlain: true });
    this.world.script = (call, phase) => {
      if (phase === 'after') return undefined;
      const at = this.#steps.findIndex(({ host, matches }) => host === call.host && matches(call));
      const [step] = at < 0 ? [] : this.#steps.splice(at, 1);
      return step?.happens();
    };
  }

  actor(name: string): Actor {
    return this.world.actor(name, 0, { faults: { ...calm, latencyMs: 1 }, narrow: false });
  }

  /** The next such call of this host waits before its effect. */
  hold({ host }: Actor, matches: Matcher): Hold {
    const reached = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    const happens = (): Promise<void> => {
      reached.resolve();
      return released.promise;
    };
    this.#steps.push({ host: host.name, matches, happens });
    return { reached: reached.promise, release: released.resolve };
  }

  /** The next such call of this host fails before its effect. */
  fail({ host }: Actor, matches: Matcher): void {
    const happens = async (): Promise<void> => {
      throw new TidemarkError('REPOSITORY_UNREACHABLE', 'as the scenario has it');
    };
    this.#steps.push({ host: host.name, matches, happens });
  }

  async pass(leases: number): Promise<void> {
    await this.world.clock.sleep(leases * LEASE_MS, this.world.run);
  }

  /** A backup of these stores, each of one piece of the pool; fails as the protocol allows. */
  async backUp(actor: Actor, pieces: Readonly<Record<string, number>>): Promise<void> {
    const contents = new Map(
      Object.entries(pieces).map(([store, piece]) => {
        return [store, new Map([['only', must(this.world.pool[piece], 'a piece')]])] as const;
      }),
    );
    const pause = async (): Promise<void> => undefined;
    await attempt(() => backUpOnce(this.world, actor, { scan: 100, contents, pause, endsFailed: true }));
  }

  async sweep(actor: Actor): Promise<void> {
    await attempt(() => sweepOnce(this.world, actor));
  }

  /** Keeps nothing that need not be kept. */
  async giveUp(actor: Actor): Promise<void> {
    await attempt(() => giveUpOnce(this.world, actor, { last: 0, daily: 0 }));
  }

  async pin(actor: Actor, mark: string): Promise<void> {
    const isIt = (record: MarkRecord): boolean => record.mark.id === mark;
    await attempt(() => pinOnce(this.world, actor, (marks) => must(marks.find(isIt), 'the mark')));
  }
}

async function attempt(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isTidemarkError(error) || error.code === 'BUG') throw error;
  }
}

export const puts =
  (folder: string): Matcher =>
  ({ name, keys }) =>
    name === 'create' && keys.some((key) => key.startsWith(`${folder}/`));

export const deletes =
  (folder: string): Matcher =>
  ({ name, keys }) =>
    name === 'delete' && keys.some((key) => key.startsWith(`${folder}/`));

const looks: Matcher = ({ name, keys }) => name === 'list' && keys.includes('condemned/');

const asksForTime: Matcher = ({ name }) => name === 'nowMs';

const beats: Matcher = ({ name, keys }) =>
  name === 'create' && keys.some((key) => /^sessions\/.*\/0*[1-9a-f]/.test(key));

function nth(count: number, matches: Matcher): Matcher {
  let left = count;
  return (call) => matches(call) && --left === 0;
}

export type Scenario = { readonly name: string; play(stage: Stage): Promise<void> };

/** Plays it to the end and says what was broken. */
export async function playScenario(
  scenario: Scenario,
  template: Template,
  protocol: Protocol = realProtocol,
): Promise<readonly string[]> {
  const stage = new Stage(template, protocol);
  const { world } = stage;
  await world.clock.runUntil(
    (async () => {
      await scenario.play(stage);
      await sweepToTheEnd(world, []);
    })(),
  );
  await checkMarks(world);
  return world.violations;
}

/** Stored once, and garbage when a scenario begins. */
const GARBAGE = 0;
/** Needed by what is kept, and never stored before. */
const KEPT = 5;
const FRESH = 7;

export const scenarios: readonly Scenario[] = [
  {
    name: 'a writer puts its manifest when a sweep has long taken it for dead and is about to delete',
    async play(stage) {
      const [writer, sweeper] = [stage.actor('writer'), stage.actor('sweeper')];
      const manifest = stage.hold(writer, puts('manifests'));
      const backup = stage.backUp(writer, { alpha: GARBAGE });
      await manifest.reached;
      // Nor does it hear by its next beat for how long it was silent.
      stage.fail(writer, beats);
      await stage.sweep(sweeper);
      await stage.pass(2.5);
      const deletion = stage.hold(sweeper, deletes('packs'));
      const sweep = stage.sweep(sweeper);
      await Promise.race([deletion.reached, sweep]);
      manifest.release();
      await backup;
      deletion.release();
      await sweep;
    },
  },
  {
    name: 'a writer renews when a sweep has long taken it for dead and is about to delete',
    async play(stage) {
      const [writer, sweeper] = [stage.actor('writer'), stage.actor('sweeper')];
      const beat = stage.hold(writer, beats);
      const backup = stage.backUp(writer, { alpha: GARBAGE });
      await beat.reached;
      await stage.sweep(sweeper);
      await stage.pass(2.5);
      const deletion = stage.hold(sweeper, deletes('packs'));
      const sweep = stage.sweep(sweeper);
      await Promise.race([deletion.reached, sweep]);
      beat.release();
      await backup;
      deletion.release();
      await sweep;
    },
  },
  {
    name: 'a writer begins before a list is put that does not know it, and another sweep comes at once',
    async play(stage) {
      const [writer, first, second] = [stage.actor('writer'), stage.actor('first'), stage.actor('second')];
      const list = stage.hold(first, puts('condemned'));
      const sweep = stage.sweep(first);
      await list.reached;
      const manifest = stage.hold(writer, puts('manifests'));
      const backup = stage.backUp(writer, { alpha: GARBAGE });
      await manifest.reached;
      list.release();
      await sweep;
      await stage.sweep(second);
      manifest.release();
      await backup;
    },
  },
  {
    name: 'a writer begins while a sweep deletes',
    async play(stage) {
      const [writer, sweeper] = [stage.actor('writer'), stage.actor('sweeper')];
      await stage.sweep(sweeper);
      await stage.pass(1.5);
      const deletion = stage.hold(sweeper, deletes('packs'));
      const sweep = stage.sweep(sweeper);
      await deletion.reached;
      await stage.backUp(writer, { alpha: GARBAGE });
      deletion.release();
      await sweep;
    },
  },
  {
    name: 'a sweep is away after it has read the records',
    async play(stage) {
      const [writer, slow, other] = [stage.actor('writer'), stage.actor('slow'), stage.actor('other')];
      // A sweep asks for the time before it reads, twice: a further question comes after the records.
      const time = stage.hold(slow, nth(4, asksForTime));
      const sweep = stage.sweep(slow);
      await Promise.race([time.reached, sweep]);
      const list = stage.hold(other, puts('condemned'));
      const another = stage.sweep(other);
      await Promise.race([list.reached, another]);
      await stage.backUp(writer, { alpha: GARBAGE });
      list.release();
      await another;
      await stage.pass(2.5);
      time.release();
      await sweep;
    },
  },
  {
    name: 'a mark is put over an earlier base while packs of that base are being deleted',
    async play(stage) {
      const [failing, writer, sweeper] = [stage.actor('failing'), stage.actor('writer'), stage.actor('sweeper')];
      // Leaves a base that no mark names, over a pack that is older than it.
      stage.fail(failing, nth(2, puts('packs')));
      await stage.backUp(failing, { alpha: GARBAGE, beta: FRESH });
      await stage.sweep(sweeper);
      await stage.pass(1.2);
      const mark = stage.hold(writer, puts('journal'));
      const backup = stage.backUp(writer, { beta: KEPT });
      await mark.reached;
      const deletion = stage.hold(sweeper, deletes('packs'));
      const sweep = stage.sweep(sweeper);
      await Promise.race([deletion.reached, sweep]);
      mark.release();
      await backup;
      deletion.release();
      await sweep;
    },
  },
  {
    name: 'a mark is pinned that was given up and is about to be deleted',
    async play(stage) {
      const [writer, pinner] = [stage.actor('writer'), stage.actor('pinner')];
      const [tender, sweeper] = [stage.actor('tender'), stage.actor('sweeper')];
      await stage.backUp(writer, { alpha: FRESH, beta: FRESH });
      const pin = stage.hold(pinner, puts('pins'));
      const pinning = stage.pin(pinner, 'template-1-north');
      await pin.reached;
      await stage.giveUp(tender);
      await stage.sweep(sweeper);
      await stage.pass(2.5);
      const removal = stage.hold(sweeper, puts('ledger'));
      const sweep = stage.sweep(sweeper);
      await removal.reached;
      pin.release();
      await pinning;
      removal.release();
      await sweep;
    },
  },
  {
    name: 'a sweep ends its deletion while a writer that just began is about to look',
    async play(stage) {
      const [writer, sweeper] = [stage.actor('writer'), stage.actor('sweeper')];
      await stage.sweep(sweeper);
      await stage.pass(1.5);
      const look = stage.hold(writer, looks);
      const backup = stage.backUp(writer, { alpha: GARBAGE });
      await look.reached;
      await stage.sweep(sweeper);
      look.release();
      await backup;
    },
  },
  {
    name: 'a list is put that does not know a slow writer, and a sweep deletes before that has ended',
    async play(stage) {
      const [writer, sweeper] = [stage.actor('writer'), stage.actor('sweeper')];
      const list = stage.hold(sweeper, puts('condemned'));
      const sweep = stage.sweep(sweeper);
      await list.reached;
      const pack = stage.hold(writer, puts('packs'));
      const backup = stage.backUp(writer, { alpha: GARBAGE });
      await pack.reached;
      list.release();
      await sweep;
      await stage.pass(1.2);
      await stage.sweep(sweeper);
      pack.release();
      await backup;
    },
  },
  {
    name: 'a list waits for a slow writer that uses what it names',
    async play(stage) {
      const [writer, sweeper] = [stage.actor('writer'), stage.actor('sweeper')];
      const pack = stage.hold(writer, puts('packs'));
      const backup = stage.backUp(writer, { alpha: GARBAGE });
      await pack.reached;
      await stage.sweep(sweeper);
      await stage.pass(1.2);
      await stage.sweep(sweeper);
      pack.release();
      await backup;
      await stage.pass(1.2);
      await stage.sweep(sweeper);
    },
  },
  {
    name: 'a slow writer has put one of its bases, and sweeps come',
    async play(stage) {
      const [writer, sweeper] = [stage.actor('writer'), stage.actor('sweeper')];
      // The third pack is the second base's.
      const pack = stage.hold(writer, nth(3, puts('packs')));
      const backup = stage.backUp(writer, { alpha: FRESH, beta: FRESH - 1 });
      await pack.reached;
      for (let turn = 0; turn < 3; turn += 1) {
        await stage.pass(1.1);
        await stage.sweep(sweeper);
      }
      pack.release();
      await backup;
    },
  },
  {
    name: 'a list waits with a pin for a writer that comes back, and the next one with its unpin does not',
    async play(stage) {
      const [writer, tender, sweeper] = [stage.actor('writer'), stage.actor('tender'), stage.actor('sweeper')];
      await stage.pin(tender, 'template-1-north');
      const pack = stage.hold(writer, puts('packs'));
      const beat = stage.hold(writer, beats);
      const backup = stage.backUp(writer, { alpha: FRESH });
      await beat.reached;
      await stage.pass(0.7);
      await stage.pin(tender, 'template-1-north');
      await stage.pass(0.9);
      await stage.sweep(sweeper);
      await stage.pass(0.3);
      await stage.sweep(sweeper);
      beat.release();
      await stage.pass(1.1);
      await stage.sweep(sweeper);
      pack.release();
      await backup;
    },
  },
  {
    name: 'a sweep fails where it puts its ledger',
    async play(stage) {
      const sweeper = stage.actor('sweeper');
      await stage.sweep(sweeper);
      await stage.pass(1.5);
      stage.fail(sweeper, puts('ledger'));
      await stage.sweep(sweeper);
    },
  },
  {
    name: 'somebody deletes by hand what a writer has counted on',
    async play(stage) {
      const { world } = stage;
      const writer = stage.actor('writer');
      const manifest = stage.hold(writer, puts('manifests'));
      const backup = stage.backUp(writer, { alpha: GARBAGE });
      await manifest.reached;
      world.hasVandal = true;
      for (const key of world.garbage) world.memory.remove(key);
      manifest.release();
      await backup;
    },
  },
];
