import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OpenApplication } from '../app/application.ts';
import type { AppContext } from '../app/application.ts';
import { backup } from '../app/backup.ts';
import { diffMarks } from '../app/diff.ts';
import { initRepository } from '../app/init.ts';
import { openReader } from '../app/look.ts';
import { carryOut, prepareRestore } from '../app/restore.ts';
import type { BackupStoreResult, RestoreStoreResult } from '../app/results.ts';
import { verify } from '../app/verify.ts';
import { TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import type { Run } from '../core/run.ts';
import { createSeededRandom } from '../flow/random.ts';
import { Secret } from '../io/secret.ts';
import { checklistOf, differences } from './checklist.ts';
import type { Checklist } from './checklist.ts';
import { machineAt } from './machine.ts';
import type { MachineSetup } from './machine.ts';
import { makeShopFiles } from './shop-files.ts';
import { damageFiles, workOneDay } from './working-day.ts';

/** What happens next. `event`: something of the story. `command`: what one would type. `outcome`: what came of it, with its time. */
export type StoryLine =
  | { readonly kind: 'event' | 'note'; readonly text: string }
  | { readonly kind: 'command'; readonly text: string }
  | { readonly kind: 'outcome'; readonly text: string; readonly tookMs: number };

export type DemoSetup = Omit<MachineSetup, 'passphrase'> & {
  /** Where its folder is made. */
  readonly parent: string;
  /** Leaves the folder. */
  readonly keep: boolean;
  readonly sizeText: (bytes: number) => string;
};

export type Demo = AsyncDisposable & { readonly folder: string; readonly story: AsyncIterable<readonly StoryLine[]> };

const PASSPHRASE_BYTES = 24;
const FIRST = 'monday';
const MANIFEST = 'application: shop\nrepository: ../backups\nstores:\n  uploads: files:./uploads\n';

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

class Story {
  readonly #setup: DemoSetup & MachineSetup;
  readonly #run: Run;
  readonly #random = createSeededRandom('demo');
  readonly #folder: string;
  readonly #machine: string;
  readonly #uploads: string;

  constructor(setup: DemoSetup & MachineSetup, folder: string, run: Run) {
    this.#setup = setup;
    this.#run = run;
    this.#folder = folder;
    this.#machine = join(folder, 'shop');
    this.#uploads = join(this.#machine, 'uploads');
  }

  async *tell(): AsyncGenerator<readonly StoryLine[]> {
    mkdirSync(this.#machine);
    const made = await this.#timed(async () => makeShopFiles(this.#uploads, this.#random));
    const monday = checklistOf(this.#uploads);
    yield [
      event('A shop keeps what its customers send in a folder. Four lines say what is to be safe:'),
      ...MANIFEST.trimEnd().split('\n').map(note),
      { kind: 'outcome', text: `${monday.size} files, folders and links are made for this story`, tookMs: made.tookMs },
    ];
    writeFileSync(join(this.#machine, 'tidemark.yaml'), MANIFEST);
    writeFileSync(join(this.#folder, 'passphrase'), `${this.#setup.passphrase}\n`, { mode: 0o600 });
    const machine = await machineAt(this.#machine, this.#setup, this.#run);
    yield* this.#init(machine);
    yield* this.#backup(machine, FIRST);
    const { edited, added, removed } = workOneDay(this.#uploads, this.#random);
    const tuesday = checklistOf(this.#uploads);
    yield [
      event(`A day goes by: ${edited} files are edited, ${added} added, ${removed} deleted, and a folder is renamed.`),
    ];
    yield* this.#backup(machine, 'tuesday');
    yield* this.#diff(machine);
    yield* this.#verify(machine);
    yield* this.#damage(machine, tuesday);
    yield* this.#loss(monday);
  }

  async *#init(machine: AppContext): AsyncGenerator<readonly StoryLine[]> {
    yield [command('tidemark init')];
    const firstPassphrase = async (): Promise<Secret> => new Secret(this.#setup.passphrase);
    const { tookMs } = await this.#timed(() => initRepository(machine, { firstPassphrase }, this.#run));
    yield [{ kind: 'outcome', text: 'an encrypted repository: only the passphrase opens it', tookMs }];
  }

  async *#backup(machine: AppContext, name: string): AsyncGenerator<readonly StoryLine[]> {
    yield [command(`tidemark backup --name ${name}`)];
    const request = { stores: [], name, tags: [], dryRun: false, allowEmpty: [], overrides: {} };
    const { result, tookMs } = await this.#timed(() =>
      this.#with(machine, (application) => backup(application, request, this.#run)),
    );
    const store = must(result.stores[0], 'the store');
    yield [{ kind: 'outcome', text: this.#backupText(store, name === FIRST), tookMs }];
  }

  #backupText({ entries, bytes, newBytes, storedBytes }: BackupStoreResult, isFirst: boolean): string {
    const size = this.#setup.sizeText;
    if (isFirst) return `${entries} entries with ${size(bytes)}, compressed and encrypted into ${size(storedBytes)}`;
    return `${entries} entries with ${size(bytes)}, of which ${size(newBytes)} are new: stored in ${size(storedBytes)}`;
  }

  async *#diff(machine: AppContext): AsyncGenerator<readonly StoryLine[]> {
    yield [command('tidemark diff monday tuesday')];
    const counts = { added: 0, removed: 0, changed: 0, attributes: 0 };
    const { tookMs } = await this.#timed(() =>
      this.#with(machine, async (application) => {
        await using reader = await openReader(application, {}, this.#run);
        const request = { from: 'monday', to: 'tuesday', stores: [] };
        const { differences: found } = await diffMarks(application, reader, request, this.#run);
        for await (const batch of found) for (const { change } of batch) counts[change] += 1;
      }),
    );
    yield [
      {
        kind: 'outcome',
        text: `${counts.added} added, ${counts.removed} removed, ${counts.changed} changed (what was renamed counts twice)`,
        tookMs,
      },
    ];
  }

  async *#verify(machine: AppContext): AsyncGenerator<readonly StoryLine[]> {
    yield [command('tidemark verify --data')];
    const { result, tookMs } = await this.#timed(() =>
      this.#with(machine, (application) => verify(application, { share: 1 }, this.#run)),
    );
    const [damage] = result.damage;
    if (damage !== undefined) throw new TidemarkError('REPOSITORY_DAMAGED', `${damage.object}: ${damage.message}`);
    const { bases, bytes } = result.checked;
    const text = `every byte of ${bases} backups read back, decrypted and compared (${this.#setup.sizeText(bytes)}): no damage`;
    yield [{ kind: 'outcome', text, tookMs }];
  }

  async *#damage(machine: AppContext, tuesday: Checklist): AsyncGenerator<readonly StoryLine[]> {
    const { damaged, deleted } = damageFiles(this.#uploads, this.#random);
    const broken = differences(checklistOf(this.#uploads), tuesday).length;
    yield [
      event(`Then it happens: ${damaged} files are overwritten with garbage, the folder ${deleted} is deleted.`),
      note(`${broken} of ${tuesday.size} entries are not as they were on tuesday`),
      command('tidemark restore --to tuesday'),
    ];
    const { result, tookMs } = await this.#timed(() => this.#restore(machine, { target: 'tuesday', into: [] }));
    yield [
      { kind: 'outcome', text: this.#restoreText(result), tookMs },
      this.#compared(tuesday, this.#uploads, 'tuesday'),
      note('what was damaged is kept aside, and `tidemark restore --undo` would bring it back'),
    ];
  }

  async *#loss(monday: Checklist): AsyncGenerator<readonly StoryLine[]> {
    rmSync(this.#machine, { recursive: true });
    const rescue = join(this.#folder, 'new-machine');
    mkdirSync(rescue);
    yield [
      event('And worse: the whole machine is lost. What is left is the repository and the passphrase.'),
      command('tidemark restore --repository ../backups --to monday --into .'),
    ];
    const warnings: string[] = [];
    const warn = (message: string): void => {
      warnings.push(message);
    };
    const setup = { ...this.#setup, warn, repository: join(this.#folder, 'backups') };
    const machine = await machineAt(rescue, setup, this.#run);
    const { result, tookMs } = await this.#timed(() => this.#restore(machine, { target: 'monday', into: ['.'] }));
    yield [
      ...warnings.map((message) => note(`warning: ${message}`)),
      note(
        'A machine that has seen nothing yet can’t tell whether newer backups were taken away, so it says what it finds.',
      ),
      note('Who keeps the head that `tidemark marks` prints elsewhere can have it compared.'),
      { kind: 'outcome', text: this.#restoreText(result), tookMs },
      this.#compared(monday, join(rescue, 'uploads'), 'monday'),
    ];
  }

  async #restore(
    machine: AppContext,
    options: { readonly target: string; readonly into: readonly string[] },
  ): Promise<RestoreStoreResult> {
    return await this.#with(machine, async (application) => {
      await using reader = await openReader(application, {}, this.#run);
      const plan = await prepareRestore(
        application,
        reader,
        { ...options, stores: [], only: [], skipDamaged: false, perStore: false },
        this.#run,
      );
      const { stores } = await carryOut(application, reader, plan, this.#run);
      return must(stores[0], 'the store');
    });
  }

  #restoreText({ entries, bytes, reusedBytes, keptAside }: RestoreStoreResult): string {
    const size = this.#setup.sizeText;
    const fetched =
      reusedBytes === 0 ? size(bytes) : `${size(bytes)}, ${size(reusedBytes)} of it still whole on the spot`;
    const exchanged = keptAside === undefined ? 'put in place' : 'exchanged in one step';
    return `${entries} entries with ${fetched}: restored beside, verified, ${exchanged}`;
  }

  /** @throws RESTORE_FAILED when the story would not be true */
  #compared(expected: Checklist, root: string, day: string): StoryLine {
    const [first] = differences(expected, checklistOf(root));
    if (first === undefined) {
      return note(`compared with ${day}: all ${expected.size} entries are the same, to the last bit and nanosecond`);
    }
    throw new TidemarkError('RESTORE_FAILED', `${first} is not as it was on ${day}`);
  }

  async #with<T>(machine: AppContext, work: (application: OpenApplication) => Promise<T>): Promise<T> {
    await using application = await OpenApplication.open(machine, this.#run);
    return await work(application);
  }

  async #timed<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly tookMs: number }> {
    const { clock } = this.#setup.runtime;
    const startMs = clock.monotonicMs();
    const result = await work();
    return { result, tookMs: Math.round(clock.monotonicMs() - startMs) };
  }
}

function event(text: string): StoryLine {
  return { kind: 'event', text };
}

function note(text: string): StoryLine {
  return { kind: 'note', text };
}

function command(text: string): StoryLine {
  return { kind: 'command', text };
}
