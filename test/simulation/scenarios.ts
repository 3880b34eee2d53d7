import { must } from '../../src/core/must.ts';
import { isTidemarkError } from '../../src/core/errors.ts';
import { checkMarks, sweepToTheEnd } from './checks.ts';
import type { SimulatedCall } from './simulated-host.ts';
import { backUpOnce, giveUpOnce, pinOnce, sweepOnce } from './tasks.ts';
import { LEASE_MS, STORES } from './template.ts';
import type { Template } from './template.ts';
import { calm, realProtocol, World } from './world.ts';
import type { Actor, Protocol } from './world.ts';

type Matcher = (call: SimulatedCall) => boolean;

/** A call that waits: `reached` resolves when it was made, and it has its effect once it is released. */
type Hold = { readonly reached: Promise<void>; release(): void };

/** The order of events is written down: each race that chance rarely finds. */
export class Stage {
  readonly world: World;
  readonly #holds: { readonly host: string; readonly matches: Matcher; readonly reached: () => void; readonly released: Promise<void> }[] = [];

  constructor(template: Template, protocol: Protocol) {
    this.world = new World(0, template, protocol, { lags: false, hasVandal: false });
    this.world.script = (call) => {
      const at = this.#holds.findIndex(({ host, matches }) => host === call.host && matches(call));
      const [hold] = at < 0 ? [] : this.#holds.splice(at, 1);
      hold?.reached();
      return hold?.released;
    };
  }

  actor(name: string, credential = 0): Actor {
    return this.world.actor(name, credential, { faults: { ...calm, latencyMs: 1 }, narrow: false });
  }

  /** The next such call of this host waits before its effect. */
  hold(actor: Actor, matches: Matcher): Hold {
    const reached = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    this.#holds.push({ host: actor.host.name, matches, reached: reached.resolve, released: released.promise });
    return { reached: reached.promise, release: released.resolve };
  }

  async pass(leases: number): Promise<void> {
    await this.world.clock.sleep(leases * LEASE_MS, this.world.run);
  }

  /** A backup of what nothing needs any more, or of that piece; fails as the protocol allows. */
  async backUp(actor: Actor, options: { readonly stores?: readonly string[]; readonly piece?: number } = {}): Promise<void> {
    const { stores = STORES.slice(0, 1), piece = 0 } = options;
    const content = new Map([['only', must(this.world.pool[piece], 'a piece')]]);
    await this.attempt(() =>
      backUpOnce(this.world, actor, {
        scan: 100,
        contents: new Map(stores.map((store) => [store, content])),
        pause: async () => undefined,
        endsFailed: true,
      }),
    );
  }

  async sweep(actor: Actor): Promise<void> {
    await this.attempt(() => sweepOnce(this.world, actor));
  }

  async giveUp(actor: Actor): Promise<void> {
    await this.attempt(() => giveUpOnce(this.world, actor, { last: 0, daily: 0 }));
  }

  async pin(actor: Actor, mark: string): Promise<void> {
    await this.attempt(() =>
      pinOnce(this.world, actor, (marks) => must(marks.find((record) => record.mark.id === mark), 'the mark')),
    );
  }

  async attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isTidemarkError(error) || error.code === 'BUG') throw error;
    }
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

export const asksForTime: Matcher = ({ name }) => name === 'nowMs';

export type Scenario = { readonly name: string; play(stage: Stage): Promise<void> };

/** Plays it to the end and says what was broken. */
export async function playScenario(scenario: Scenario, template: Template, protocol: Protocol = realProtocol): Promise<readonly string[]> {
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

export const scenarios: readonly Scenario[] = [
  {
    name: 'a writer is away until a sweep that no longer waits for it deletes, and then puts its manifest',
    async play(stage) {
      const [writer, sweeper] = [stage.actor('writer'), stage.actor('sweeper')];
      const manifest = stage.hold(writer, puts('manifests'));
      const backup = stage.backUp(writer);
      await manifest.reached;
      await stage.sweep(sweeper);
      await stage.pass(2.5);
      const deletion = stage.hold(sweeper, deletes('packs'));
      const sweep = stage.sweep(sweeper);
      await deletion.reached;
      manifest.release();
      await backup;
      deletion.release();
      await sweep;
    },
  },
  {
    name: 'a writer is away until a sweep that no longer waits for it deletes, then renews and goes on',
    async play(stage) {
      const [writer, sweeper] = [stage.actor('writer'), stage.actor('sweeper')];
      // The beat that begins the commit.
      const beat = stage.hold(writer, ({ name, keys }) => name === 'create' && keys.some((key) => /^sessions\/.*00000001$/.test(key)));
      const backup = stage.backUp(writer);
      await beat.reached;
      await stage.sweep(sweeper);
      await stage.pass(2.5);
      const deletion = stage.hold(sweeper, deletes('packs'));
      const sweep = stage.sweep(sweeper);
      await deletion.reached;
      beat.release();
      await backup;
      deletion.release();
      await sweep;
    },
  },
  {
    name: 'a writer begins while a sweep is about to put its list, and another sweep comes at once',
    async play(stage) {
      const [writer, first, second] = [stage.actor('writer'), stage.actor('first'), stage.actor('second')];
      const list = stage.hold(first, puts('condemned'));
      const sweep = stage.sweep(first);
      await list.reached;
      const manifest = stage.hold(writer, puts('manifests'));
      const backup = stage.backUp(writer);
      await manifest.reached;
      list.release();
      await sweep;
      // Shorter than half a lease, so that the writer is in time.
      await stage.pass(0.1);
      await stage.sweep(second);
      manifest.release();
      await backup;
    },
  },
  {
    name: 'a writer begins between the deletion of a list and of what it names',
    async play(stage) {
      const [writer, sweeper] = [stage.actor('writer'), stage.actor('sweeper')];
      await stage.sweep(sweeper);
      await stage.pass(1.5);
      const lists = stage.hold(sweeper, deletes('condemned'));
      const packs = stage.hold(sweeper, deletes('packs'));
      const sweep = stage.sweep(sweeper);
      await Promise.race([packs.reached, lists.reached.then(() => lists.release())]);
      await packs.reached;
      await stage.backUp(writer);
      packs.release();
      lists.release();
      await sweep;
    },
  },
  {
    name: 'a sweep is away between reading the records and asking for the time',
    async play(stage) {
      const [writer, slow, other] = [stage.actor('writer'), stage.actor('slow'), stage.actor('other')];
      // Its last question for the time is that of the view that it acts upon.
      const first = stage.hold(slow, asksForTime);
      const sweep = stage.sweep(slow);
      await first.reached;
      const time = stage.hold(slow, asksForTime);
      first.release();
      await time.reached;
      const last = stage.hold(slow, asksForTime);
      time.release();
      await Promise.race([last.reached, sweep]);
      await stage.backUp(writer, { piece: 0 });
      await stage.sweep(other);
      await stage.pass(2.5);
      last.release();
      await sweep;
    },
  },
  {
    name: 'a mark is put over an earlier base while the packs of that base are being deleted',
    async play(stage) {
      const { world } = stage;
      const [failing, writer, sweeper, tender] = [stage.actor('failing'), stage.actor('writer'), stage.actor('sweeper'), stage.actor('tender')];
      // A base that no mark names, of packs that are older than it.
      world.script = failOnce(world.script, failing.host.name, puts('journal'));
      await stage.pass(0.5);
      await stage.backUp(failing);
      await stage.sweep(sweeper);
      const mark = stage.hold(writer, puts('journal'));
      const backup = stage.backUp(writer, { stores: STORES.slice(1), piece: 5 });
      await mark.reached;
      await stage.pass(3);
      const deletion = stage.hold(sweeper, deletes('packs'));
      const sweep = stage.sweep(sweeper);
      await Promise.race([deletion.reached, sweep]);
      mark.release();
      await backup;
      deletion.release();
      await sweep;
      void tender;
    },
  },
  {
    name: 'a mark is pinned while what it needs is being deleted',
    async play(stage) {
      const [pinner, sweeper, tender, writer] = [stage.actor('pinner'), stage.actor('sweeper'), stage.actor('tender'), stage.actor('writer')];
      // Two backups, so that the first mark can be given up.
      await stage.backUp(writer, { stores: STORES, piece: 7 });
      const id = stage.newestMark();
      await stage.pass(3);
      await stage.backUp(writer, { stores: STORES, piece: 6 });
      await stage.pass(3);
      await stage.backUp(writer, { stores: STORES, piece: 5 });
      const pin = stage.hold(pinner, puts('pins'));
      const pinning = stage.pin(pinner, id);
      await pin.reached;
      await stage.giveUp(tender);
      await stage.sweep(sweeper);
      await stage.pass(2.5);
      const deletion = stage.hold(sweeper, deletes('packs'));
      const sweep = stage.sweep(sweeper);
      await deletion.reached;
      pin.release();
      await pinning;
      deletion.release();
      await sweep;
    },
  },
];
