import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isoTime } from '../app/shown.ts';
import type { MarkResult, PlanResult, TimelineResult } from '../app/results.ts';
import { TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import { machineAt } from './machine.ts';
import type { MachineSetup } from './machine.ts';
import { cleanUp, WRONG_PRICE } from './mistake.ts';
import type { Mistake } from './mistake.ts';
import { OpenShop } from './open-shop.ts';
import type { Sale } from './open-shop.ts';
import { Operator } from './operator.ts';
import type { Restored, Target } from './operator.ts';
import { RunningUp } from './running-up.ts';
import { buildShop, ITEMS, manifestOf, shopIn } from './shop.ts';
import type { Shop } from './shop.ts';
import { compareShop, readShop } from './shop-state.ts';
import type { ShopState } from './shop-state.ts';

/** What happens next. `event`: something of the story. `quote`: a line of a file. `command`: what one would type; the others: what came of it. */
export type StoryLine =
  | { readonly kind: 'event' | 'note' | 'quote' | 'command'; readonly text: string }
  | { readonly kind: 'outcome'; readonly text: string; readonly tookMs: number }
  | { readonly kind: 'mark'; readonly mark: MarkResult; readonly tookMs: number }
  | { readonly kind: 'timeline'; readonly timeline: TimelineResult }
  | { readonly kind: 'plan'; readonly plan: PlanResult };

export type DemoSetup = Omit<MachineSetup, 'passphrase'> & {
  /** Where its folder is made. */
  readonly parent: string;
  /** Leaves the folder. */
  readonly keep: boolean;
  readonly sizeText: (bytes: number) => string;
  readonly durationText: (ms: number) => string;
};

export type Demo = AsyncDisposable & { readonly folder: string; readonly story: AsyncIterable<readonly StoryLine[]> };

const PASSPHRASE_BYTES = 24;
/** How much happens before the next step of the story. */
const ORDERS_BETWEEN = 60;
const MARKS_BETWEEN = 2;
const LAST_ORDERS = 20;
const POLL_MS = 50;
/** Only a fault takes so long. */
const LONGEST_WAIT_MS = 120_000;
const SEALED = 'end-of-day';
const NAMED = 'before-clean-up';

/** A folder of its own, and a story that happens in it while it is pulled. Dispose removes the folder. */
export function createDemo(setup: DemoSetup, run: Run): Demo {
  const folder = mkdtempSync(join(setup.parent, 'tidemark-demo-'));
  const passphrase = Buffer.from(setup.runtime.random(PASSPHRASE_BYTES)).toString('base64url');
  const story = new Story({ ...setup, passphrase }, folder, run);
  return {
    folder,
    story: story.tell(),
    async [Symbol.asyncDispose]() {
      if (!setup.keep) rmSync(folder, { recursive: true, force: true });
    },
  };
}

type Lines = AsyncGenerator<readonly StoryLine[]>;

/** What was when the stores were lost. */
type Loss = { readonly sales: readonly Sale[]; readonly sealed: MarkResult; readonly mistake: Mistake };

class Story {
  readonly #setup: DemoSetup & MachineSetup;
  readonly #run: Run;
  readonly #folder: string;
  readonly #shop: Shop;

  constructor(setup: DemoSetup & MachineSetup, folder: string, run: Run) {
    this.#setup = setup;
    this.#run = run;
    this.#folder = folder;
    this.#shop = shopIn(join(folder, 'shop'));
  }

  async *tell(): Lines {
    const { clock } = this.#setup.runtime;
    const startMs = clock.monotonicMs();
    mkdirSync(this.#shop.folder);
    buildShop(this.#shop);
    writeFileSync(join(this.#folder, 'passphrase'), `${this.#setup.passphrase}\n`, { mode: 0o600 });
    yield [
      event('A shop keeps its catalog and its orders in two embedded stores, and pictures in a folder. Its manifest:'),
      ...manifestOf(this.#shop).trimEnd().split('\n').map(quote),
    ];
    const machine = await machineAt(this.#shop.folder, this.#setup, this.#run);
    const operator = new Operator(machine, this.#run);
    yield [command('tidemark init')];
    const { tookMs } = await this.#timed(() => operator.init(this.#setup.passphrase));
    yield [{ kind: 'outcome', text: 'an encrypted repository: only the passphrase opens it', tookMs }];

    const loss = yield* this.#live(() => RunningUp.start(machine, this.#run));
    yield [command('tidemark timeline'), { kind: 'timeline', timeline: await operator.timeline() }];
    const good = yield* this.#goBack(operator, loss);
    yield* this.#goForth(operator, loss, good);
    yield* this.#lookAside(operator, loss);
    yield* this.#verify(operator);
    const { marks, storedBytes } = await operator.stats();
    const size = this.#setup.sizeText(storedBytes);
    yield [
      event(
        `In all: ${loss.sales.length} orders, ${marks} marks in a repository of ${size}, ${this.#setup.durationText(clock.monotonicMs() - startMs)}.`,
      ),
    ];
  }

  /** Orders are taken and archived, until the stores are lost. */
  async *#live(startUp: () => Promise<RunningUp>): AsyncGenerator<readonly StoryLine[], Loss> {
    yield [event('From now on everything is recorded, while customers order.'), command('tidemark up')];
    await using up = await startUp();
    await using open = new OpenShop(this.#shop);
    const scene: Scene = { up, open };
    yield* this.#record(scene);
    const sealed = yield* this.#mark(scene, { name: SEALED, sealed: true });
    await this.#orders(scene, ORDERS_BETWEEN);
    yield [event('An operator is about to clean up, and takes a mark first, as careful operators do.')];
    const named = yield* this.#mark(scene, { name: NAMED, sealed: false });
    await this.#marksAfter(scene, Date.parse(named.at), MARKS_BETWEEN);
    const mistake = cleanUp(this.#shop, this.#setup.runtime.clock);
    yield [
      event(
        `At ${clockTime(mistake.begunMs)} the script runs. Its condition is wrong: it deletes ${mistake.deleted.size} orders, overwrites ${mistake.overwritten.size} pictures and sets all ${ITEMS.length} prices to ${WRONG_PRICE}. The shop goes on.`,
      ),
    ];
    await this.#marksAfter(scene, mistake.doneMs, MARKS_BETWEEN);
    await this.#orders(scene, LAST_ORDERS);
    await open.close();
    await up.die();
    rmSync(this.#shop.data, { recursive: true });
    const { sales } = open;
    yield [
      event(
        `And then the disk dies, after ${sales.length} orders: both stores and the folder are gone, and \`up\` with them. What is left is the repository. What can come back?`,
      ),
    ];
    return { sales, sealed, mistake };
  }

  async *#record(scene: Scene): Lines {
    const { up, open } = scene;
    await this.#until('a complete mark', async () => (await up.status())?.lastMark?.state === 'complete');
    yield up.takeNews().map(note);
    await this.#orders(scene, ORDERS_BETWEEN);
    yield [
      note(
        `${open.sales.length} orders so far. Each writes its number to all three: a picture to the uploads, then to orders, then to the catalog. Every second a mark is taken: a moment over all three, to go back to.`,
      ),
      event('In the evening a mark is sealed: the shop pauses for it, so that nothing is being written anywhere.'),
    ];
  }

  /** To the last mark before the mistake. */
  async *#goBack(operator: Operator, { sales, mistake }: Loss): AsyncGenerator<readonly StoryLine[], ShopState> {
    const target: Target = { to: isoTime(mistake.begunMs) };
    yield [
      event('Everything is to be as it was when the script began: at the last mark before that time.'),
      command(`tidemark plan --to ${target.to}`),
      { kind: 'plan', plan: await operator.plan(target) },
      command(`tidemark restore --to ${target.to}`),
    ];
    const { result, tookMs } = await this.#timed(() => operator.restore(target));
    const state = readShop(this.#shop);
    compareShop(state, { sales, mark: result.mark });
    yield [
      { kind: 'outcome', text: this.#restoredText(result), tookMs },
      ...this.#agreement(state, result.mark),
      note('all orders and prices are there, and every picture, byte for byte as the shop’s own log has them'),
    ];
    return state;
  }

  /** To the newest mark, and back again. */
  async *#goForth(operator: Operator, { sales, mistake }: Loss, good: ShopState): Lines {
    const target: Target = { to: 'latest' };
    yield [
      event('One may go the other way as well: to the newest mark, with the orders that came later, and the mistake.'),
      command('tidemark restore --to latest'),
    ];
    const restored = await this.#timed(() => operator.restore(target));
    const state = readShop(this.#shop);
    compareShop(state, { sales, mark: restored.result.mark, mistake });
    const missing = sales.slice(state.counters.catalog);
    const missingMs = (missing.at(-1)?.doneMs ?? 0) - (missing[0]?.begunMs ?? 0);
    yield [
      { kind: 'outcome', text: this.#restoredText(restored.result), tookMs: restored.tookMs },
      ...this.#agreement(state, restored.result.mark),
      note(
        `of ${sales.length} orders the last ${missing.length} are lost: those of the ${this.#setup.durationText(missingMs)} after the newest mark`,
      ),
      command('tidemark restore --undo'),
    ];
    const undone = await this.#timed(() => operator.undo());
    const again = readShop(this.#shop);
    if (!isSame(again, good)) throw new TidemarkError('RESTORE_FAILED', 'what was put back is not what was there');
    yield [
      {
        kind: 'outcome',
        text: 'what was there before is put back: as it was before the script',
        tookMs: undone.tookMs,
      },
    ];
  }

  /** The sealed mark, beside what is live. */
  async *#lookAside(operator: Operator, { sales, sealed }: Loss): Lines {
    const target: Target = { to: SEALED, into: 'look' };
    yield [
      event('The sealed mark, at which all three agree exactly, is looked at beside what is live:'),
      command(`tidemark restore --to ${SEALED} --into look`),
    ];
    const { result, tookMs } = await this.#timed(() => operator.restore(target));
    const at = (store: string): string => join(this.#shop.folder, 'look', store);
    const state = readShop({ catalog: at('catalog'), orders: at('orders'), uploads: at('uploads') });
    compareShop(state, { sales, mark: sealed });
    const { catalog, orders, uploads } = state.counters;
    if (catalog !== orders || orders !== uploads) {
      throw new TidemarkError('RESTORE_FAILED', `the counters at a sealed mark are ${catalog}, ${orders}, ${uploads}`);
    }
    yield [{ kind: 'outcome', text: this.#restoredText(result), tookMs }, ...this.#agreement(state, result.mark)];
  }

  async *#verify(operator: Operator): Lines {
    yield [event('Is all of it whole?'), command('tidemark verify --data')];
    const { result, tookMs } = await this.#timed(() => operator.verify());
    const [damage] = result.damage;
    if (damage !== undefined) throw new TidemarkError('REPOSITORY_DAMAGED', `${damage.object}: ${damage.message}`);
    const { bases, segments, bytes } = result.checked;
    const logs = segments === 0 ? '' : ` and of ${segments} segments of log`;
    const text = `every byte of ${bases} bases${logs} read back, decrypted and compared (${this.#setup.sizeText(bytes)}): no damage`;
    yield [{ kind: 'outcome', text, tookMs }];
  }

  async *#mark(
    { up }: Scene,
    options: { readonly name: string; readonly sealed: boolean },
  ): AsyncGenerator<readonly StoryLine[], MarkResult> {
    yield [command(`tidemark mark ${options.name}${options.sealed ? ' --sealed' : ''}`)];
    const { result, tookMs } = await this.#timed(() => up.mark(options));
    yield [{ kind: 'mark', mark: result.mark, tookMs }];
    return result.mark;
  }

  /** Until so many complete marks are in the repository whose stores were all read later. */
  async #marksAfter({ up }: Scene, afterMs: number, count: number): Promise<void> {
    const seen = new Set<string>();
    await this.#until('marks', async () => {
      const mark = (await up.status())?.lastMark;
      if (mark?.state === 'complete' && Date.parse(mark.at) - mark.skewMs > afterMs) seen.add(mark.id);
      return seen.size >= count;
    });
  }

  /** Until the shop has taken so many more orders. */
  async #orders({ open }: Scene, count: number): Promise<void> {
    const goal = open.sales.length + count;
    await this.#until('orders', async () => open.sales.length >= goal);
  }

  async #until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    const { clock } = this.#setup.runtime;
    const endMs = clock.monotonicMs() + LONGEST_WAIT_MS;
    while (!(await isSo())) {
      if (clock.monotonicMs() > endMs) throw new TidemarkError('FAILED', `waited two minutes in vain for ${what}`);
      await clock.sleep(POLL_MS, this.#run);
    }
  }

  #restoredText({ stores }: Restored): string {
    const bytes = stores.reduce((sum, store) => sum + store.bytes, 0);
    const entries = stores.reduce((sum, store) => sum + store.entries, 0);
    const exchanged = stores.some(({ keptAside }) => keptAside !== undefined) ? 'exchanged' : 'put in place';
    return `${entries} entries with ${this.#setup.sizeText(bytes)}: all three written beside, verified, then ${exchanged}`;
  }

  #agreement({ counters }: ShopState, mark: MarkResult): readonly StoryLine[] {
    const { catalog, orders, uploads } = counters;
    if (catalog === orders && orders === uploads) {
      return [
        note(`the counters agree: the last order is number ${catalog} in the catalog, in orders and in the uploads`),
      ];
    }
    return [
      note(
        `the counters agree within the mark’s skew of ${this.#setup.durationText(mark.skewMs)}: the last order is number ${catalog} in the catalog, ${orders} in orders, ${uploads} in the uploads`,
      ),
    ];
  }

  async #timed<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly tookMs: number }> {
    const { clock } = this.#setup.runtime;
    const startMs = clock.monotonicMs();
    const result = await work();
    return { result, tookMs: Math.round(clock.monotonicMs() - startMs) };
  }
}

type Scene = { readonly up: RunningUp; readonly open: OpenShop };

function isSame({ holds: left }: ShopState, { holds: right }: ShopState): boolean {
  return left.size === right.size && [...left].every(([key, value]) => right.get(key) === value);
}

/** `14:05:12.345`, in UTC. */
function clockTime(atMs: number): string {
  return isoTime(atMs).slice(11, -1);
}

function event(text: string): StoryLine {
  return { kind: 'event', text };
}

function note(text: string): StoryLine {
  return { kind: 'note', text };
}

function quote(text: string): StoryLine {
  return { kind: 'quote', text };
}

function command(text: string): StoryLine {
  return { kind: 'command', text };
}
