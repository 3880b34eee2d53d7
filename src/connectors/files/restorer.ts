import { constants, lstatSync } from 'node:fs';
import { TidemarkError } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import type { RestorerContext } from '../../core/connector.ts';
import type { BaseReader, FileTarget, Restorer, RestoreReport } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { openScope } from '../../flow/scope.ts';
import { syncFileSystem } from '../../io/native-file.ts';
import { removeFileAt, statAt, statOpen } from '../../io/native-folder.ts';
import { byteText, bytesOf, printablePath, systemPath } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';
import { reasonOf } from './errors.ts';
import { readJournal } from './journal.ts';
import type { Journal } from './journal.ts';
import { keepLocal } from './keep-local.ts';
import { Notes } from './notes.ts';
import { compilePatterns } from './patterns.ts';
import type { Patterns } from './patterns.ts';
import { findPlace } from './place.ts';
import type { Place } from './place.ts';
import { chooseFromBase, matchesAny, planBase, planPart } from './planned.ts';
import type { Planned } from './planned.ts';
import { removeTree } from './remove-tree.ts';
import { openStaging, withHome } from './staging.ts';
import type { Staging } from './staging.ts';
import type { FilesStore } from './store.ts';
import { asidePath, comingIsGone, exchangeFolders, inodeAt, noteState } from './swap.ts';
import type { Exchange } from './swap.ts';
import { childrenToExchange, exchangeChildren, settleTime } from './swap-children.ts';
import { fileSizeOf, TreeWriter } from './tree-writer.ts';
import type { FilePlan } from './tree-writer.ts';
import { StagingCheck } from './verify.ts';

/**
 * Restores a folder beside the one that is there. @throws RESTORE_CONFLICT when the target is no folder.
 */
export function openFilesRestorer(store: FilesStore, context: RestorerContext): Restorer {
  return restorerAt(findPlace(context.target ?? store.folder, context.id), context);
}

/** As `openFilesRestorer`, at a place that is found already. */
export function restorerAt(place: Place, context: RestorerContext): Restorer {
  return new FilesRestorer(place, context);
}

type Restored = { readonly base: BaseReader; readonly entries: number; readonly bytes: number };

/** A tree in the making: what a call of `restoreBase` writes with. */
type Making = {
  readonly base: BaseReader;
  readonly staging: Staging;
  readonly writer: TreeWriter;
  readonly notes: Notes;
};

class FilesRestorer implements Restorer {
  readonly #place: Place;
  readonly #context: RestorerContext;
  readonly #only: Patterns | undefined;
  #staging: Staging | undefined;
  #restored: Restored | undefined;

  constructor(place: Place, context: RestorerContext) {
    this.#place = place;
    this.#context = context;
    this.#only = compilePatterns(context.only ?? []);
  }

  async restoreBase(base: BaseReader, run: Run): Promise<RestoreReport> {
    run.signal.throwIfAborted();
    if (this.#only !== undefined && !(await matchesAny(base, this.#only, run))) {
      throw new TidemarkError('ENTRY_NOT_FOUND', 'nothing that the store held then matches --only');
    }
    await this.#forgetVerified();
    this.#closeStaging();
    const staging = await openStaging(this.#place, run);
    this.#staging = staging;
    const notes = new Notes();
    using writer = new TreeWriter(staging, notes);
    const making: Making = { base, staging, notes, writer };
    const { bytes, reusedBytes } = await this.#fill(making, run);
    throwOnFailures(writer);
    await withHome(this.#place, (home) => removeTree(home, Buffer.from(this.#place.beside.part), run));
    const entries = writer.entryCount;
    this.#restored = { base, entries, bytes };
    return { entries, bytes, reusedBytes, notes: notes.list(), noteCount: notes.count };
  }

  async verify(run: Run): ReturnType<Restorer['verify']> {
    const staging = must(this.#staging, 'a base was restored');
    const { base, entries, bytes } = must(this.#restored, 'a base was restored');
    // All is written: the disk may take it in while it is looked through.
    const notes = new Notes();
    await using scope = openScope(run);
    void scope.spawn(async () => await syncFileSystem(staging.folder));
    void scope.spawn(async (inner) => await this.#compare(base, new StagingCheck(staging, notes), inner));
    await scope.join();
    // Of what was verified, whatever bears its name by now.
    const coming = statOpen(staging.folder).inode.toString();
    await withHome(this.#place, async (home) => {
      await noteState(
        this.#exchange(home),
        { version: 1, state: 'verified', purpose: 'restore', coming, going: null },
        run,
      );
    });
    return { entries, bytes, notes: notes.list() };
  }

  async swap(run: Run): Promise<{ readonly keptAside?: string | undefined }> {
    return await withHome(this.#place, async (home) => {
      const exchange = this.#exchange(home);
      const journal = await readJournal(home, this.#place.beside.journal);
      if (journal?.purpose !== 'restore') {
        throw new TidemarkError(
          'RESTORE_UNFINISHED',
          `nothing is verified beside ${printablePath(this.#place.target)}`,
        );
      }
      return await swapRestored(exchange, journal, run);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closeStaging();
  }

  #closeStaging(): void {
    this.#staging?.[Symbol.dispose]();
    this.#staging = undefined;
    this.#restored = undefined;
  }

  #exchange(home: number): Exchange {
    return { place: this.#place, home, runtime: this.#context.runtime };
  }

  /** @throws RESTORE_UNFINISHED when the exchange has begun: from then on only `swap` may go on. */
  async #forgetVerified(): Promise<void> {
    if (lstatSync(systemPath(this.#place.home), { throwIfNoEntry: false }) === undefined) return;
    await withHome(this.#place, async (home) => {
      const name = this.#place.beside.journal;
      const journal = await readJournal(home, name);
      if (journal === undefined) return;
      if (journal.state !== 'verified') {
        throw new TidemarkError(
          'RESTORE_UNFINISHED',
          `the exchange of ${printablePath(this.#place.target)} has begun already`,
        );
      }
      removeFileAt(home, Buffer.from(name));
    });
  }

  async #fill(making: Making, run: Run): Promise<{ readonly bytes: number; readonly reusedBytes: number }> {
    const { base, writer } = making;
    let [bytes, reusedBytes] = [0, 0];
    for await (const results of base.extract(this.#targets(making, run), run)) {
      for (const result of results) {
        if (result.error === undefined) bytes += result.sizeBytes;
        if (result.error === undefined && result.reused) reusedBytes += result.sizeBytes;
        writer.finishFile(result);
      }
    }
    writer.finish();
    return { bytes, reusedBytes };
  }

  /** Creates folders, links and empty files as it is pulled, and gives the files that have content. */
  async *#targets(making: Making, run: Run): AsyncGenerator<readonly FileTarget<FilePlan>[]> {
    const { writer, staging, notes, base } = making;
    for await (const batch of this.#plan(base, notes, run)) {
      run.signal.throwIfAborted();
      const targets: FileTarget<FilePlan>[] = [];
      for (const planned of batch) {
        const plan = writer.add(planned.entry);
        if (plan === undefined) continue;
        const { stored } = planned.entry;
        if (stored === undefined) await keepLocal(making, { plan, found: must(planned.found, 'where it is') }, run);
        else targets.push(writer.targetOf(plan, stored, candidateFor(staging, plan)));
      }
      if (targets.length > 0) yield targets;
    }
  }

  #plan(base: BaseReader, notes: Notes, run: Run): AsyncIterable<readonly Planned[]> {
    if (this.#only === undefined) return planBase(base, run);
    return planPart(
      { base, only: this.#only, target: this.#place.exists ? this.#place.target : undefined, notes },
      run,
    );
  }

  async #compare(base: BaseReader, check: StagingCheck, run: Run): Promise<void> {
    const found: string[] = [];
    let count = 0;
    for await (const batch of this.#only === undefined ? planBase(base, run) : matchedBatches(base, this.#only, run)) {
      run.signal.throwIfAborted();
      for (const { entry } of batch) {
        const difference = check.differenceOf(entry);
        if (difference === undefined) continue;
        count++;
        if (found.length < SHOWN) found.push(`${shown(byteText(entry.name))}: ${difference}`);
      }
    }
    if (count > 0) {
      throw new TidemarkError('RESTORE_FAILED', `${count} entries are not as they should be: ${found.join('; ')}`);
    }
  }
}

const SHOWN = 5;

async function* matchedBatches(base: BaseReader, only: Patterns, run: Run): AsyncGenerator<readonly Planned[]> {
  for await (const { planned, leading } of chooseFromBase(base, only, run)) if (!leading) yield [planned];
}

/** Goes on from wherever an earlier call ended. */
async function swapRestored(
  exchange: Exchange,
  found: Journal,
  run: Run,
): Promise<{ readonly keptAside?: string | undefined }> {
  const { place } = exchange;
  let journal = found;
  if (journal.state === 'verified') journal = await noteState(exchange, beginning(exchange, journal), run);
  if (journal.state === 'exchanging') {
    if (journal.children === undefined) journal = await exchangeFolders(exchange, journal);
    else await exchangeChildren(exchange, journal, run);
    journal = await noteState(exchange, { ...journal, state: 'exchanged' }, run);
    if (journal.children !== undefined) settleTime(exchange.home, journal.children);
  }
  return journal.going === null ? {} : { keptAside: asidePath(place) };
}

function beginning({ place, home }: Exchange, verified: Journal): Journal {
  const fresh = inodeAt(home, Buffer.from(place.beside.fresh));
  if (fresh === null) throw comingIsGone(place);
  if (fresh !== verified.coming) {
    throw new TidemarkError('RESTORE_CONFLICT', `what was restored beside ${printablePath(place.target)} was replaced`);
  }
  const begun = { ...verified, state: 'exchanging' } as const;
  if (!place.mounted) return { ...begun, going: inodeAt(home, bytesOf(place.name)) };
  return { ...begun, going: statOpen(home).inode.toString(), children: childrenToExchange(home, place.beside.fresh) };
}

/** A file of the same path and size: what an interrupted call wrote, else the one that is there now. */
function candidateFor({ part, target }: Staging, { relative, entry }: FilePlan): Uint8Array | undefined {
  for (const folder of [part, target]) {
    if (folder === undefined) continue;
    if (sizeOfFile(folder, relative) === fileSizeOf(entry)) return bytesOf(`/proc/self/fd/${folder}/${relative}`);
  }
  return undefined;
}

function sizeOfFile(folder: number, relative: ByteText): number | undefined {
  try {
    const { mode, sizeBytes } = statAt(folder, relative);
    return (mode & constants.S_IFMT) === constants.S_IFREG ? sizeBytes : undefined;
  } catch {
    // A candidate only saves fetching: one that can't be looked at is none.
    return undefined;
  }
}

function throwOnFailures({ failures, failureCount }: TreeWriter): void {
  if (failureCount === 0) return;
  const told = failures.slice(0, SHOWN).map(({ name, cause }) => `${shown(name)}: ${reasonOf(cause)}`);
  throw new TidemarkError('RESTORE_FAILED', `${failureCount} entries can’t be restored: ${told.join('; ')}`, {
    cause: failures[0]?.cause,
  });
}

function shown(name: ByteText): string {
  return printablePath(name.replaceAll('\0', '/')) || '.';
}
