import { existsSync, statSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { GivenUp } from '../../../core/connector.ts';
import { fromSystem, TidemarkError } from '../../../core/errors.ts';
import { must } from '../../../core/must.ts';
import type { Run, Runtime } from '../../../core/run.ts';
import { syncFolder } from '../../../io/atomic-file.ts';
import { readState, saveState } from './work-files.ts';
import type { RestoreState, WorkFiles } from './work-files.ts';

/** What a restore puts beside a folder. `next`: for a moment, what becomes `aside`. */
export type BesideFolder = {
  readonly target: string;
  readonly fresh: string;
  readonly aside: string;
  readonly next: string;
};

export function besideFolder(target: string, id: string): BesideFolder {
  const named = (what: string): string => join(dirname(target), `.${basename(target)}.tidemark-${what}-${id}`);
  return { target, fresh: named('new'), aside: named('aside'), next: named('next') };
}

export type FolderSwap = { readonly files: WorkFiles; readonly runtime: Runtime; readonly beside: BesideFolder };

type Kept = { readonly keptAside?: string | undefined };

/** Puts the folder that was made in place, and what was there aside. Calling it again changes nothing, or finishes it. */
export async function swapFolders(swap: FolderSwap, run: Run): Promise<Kept> {
  const { files, beside } = swap;
  let state = must(await readState(files), 'something was staged');
  if (state.phase === 'staged') {
    const coming = inodeAt(beside.fresh);
    if (coming === undefined) throw comingIsGone(beside.target);
    const kept = { 0: existsSync(beside.target) };
    state = await save(swap, { ...state, phase: 'replacing', coming, kept }, run);
  }
  if (state.phase === 'replacing') state = await finish(swap, state, run);
  return keptOf(beside, state);
}

/** Exchanges what is there with what was kept aside. @throws NOTHING_TO_RESUME, RESTORE_UNFINISHED */
export async function undoFolders(swap: FolderSwap, turn: number, run: Run): Promise<Kept> {
  const { files, beside } = swap;
  let state = await readState(files);
  if (state === undefined || state.phase === 'staged') throw nothing(beside);
  if (state.phase === 'done' && state.turn === turn) return keptOf(beside, state);
  if (state.turn !== (state.phase === 'done' ? turn - 1 : turn)) {
    throw new TidemarkError('RESTORE_UNFINISHED', `the exchange of ${beside.target} was cut off`);
  }
  if (state.phase === 'done') {
    const coming = inodeAt(beside.aside);
    if (coming === undefined && state.kept[turn - 1] === true) throw nothing(beside);
    const kept = { ...state.kept, [turn]: existsSync(beside.target) };
    state = await save(swap, { ...state, phase: 'replacing', turn, coming, kept }, run);
  }
  return keptOf(beside, await finish(swap, state, run));
}

/** As `Connector.ifGivenUp`: what comes in, known by its inode, may be gone. */
export async function folderIfGivenUp({
  files,
  beside,
}: Pick<FolderSwap, 'files' | 'beside'>): Promise<GivenUp | undefined> {
  const { target, fresh, aside, next } = beside;
  const state = await readState(files);
  const isStuck =
    state?.phase === 'replacing' ? isComingGone(beside, state) : state?.phase !== 'done' && !existsSync(fresh);
  if (!isStuck) return undefined;
  const left = [fresh, aside, next].filter((path) => existsSync(path)).map((path) => basename(path));
  const kept = left.length === 0 ? '' : `; beside it ${left.join(' and ')} ${left.length === 1 ? 'stays' : 'stay'}`;
  const found = existsSync(target) ? `${target} stays as it is` : `nothing is at ${target}`;
  return { state: `${found}${kept}`, folder: dirname(target), canGoOn: false };
}

function isComingGone({ target, fresh, aside }: BesideFolder, { coming }: RestoreState): boolean {
  return coming !== undefined && [target, fresh, aside].every((path) => inodeAt(path) !== coming);
}

/** Deletes what was kept aside or left unfinished. @throws RESTORE_UNFINISHED in the middle of an exchange */
export async function discardFolders({ files, beside }: Pick<FolderSwap, 'files' | 'beside'>): Promise<void> {
  if ((await readState(files))?.phase === 'replacing') {
    throw new TidemarkError('RESTORE_UNFINISHED', `the exchange of ${beside.target} was cut off`);
  }
  for (const path of [beside.fresh, beside.next, beside.aside]) await rm(path, { recursive: true, force: true });
}

/** Goes on wherever it was cut off: what comes is known by its inode. */
async function finish(swap: FolderSwap, state: RestoreState, run: Run): Promise<RestoreState> {
  const { target, fresh, aside, next } = swap.beside;
  const { coming } = state;
  const isThere = (): boolean => inodeAt(target) === coming;
  // Nothing is moved away for what can't come.
  if (isComingGone(swap.beside, state)) throw comingIsGone(target);
  try {
    if (!isThere()) {
      if (existsSync(target)) await rename(target, next);
      if (coming !== undefined) await rename(inodeAt(fresh) === coming ? fresh : aside, target);
    }
    if (existsSync(next)) await rename(next, aside);
    await syncFolder(dirname(target));
  } catch (error) {
    throw fromSystem(error, 'RESTORE_FAILED', `${target} can’t be exchanged`);
  }
  return await save(swap, { ...state, phase: 'done' }, run);
}

async function save({ files, runtime: { random } }: FolderSwap, state: RestoreState, run: Run): Promise<RestoreState> {
  return await saveState({ files, random }, state, run);
}

function inodeAt(path: string): string | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino.toString();
}

function keptOf({ aside }: BesideFolder, { kept, turn }: RestoreState): Kept {
  return kept[turn] === true ? { keptAside: aside } : {};
}

function comingIsGone(target: string): TidemarkError {
  return new TidemarkError('RESTORE_CONFLICT', `what was to take the place of ${target} is gone`, {
    hint: 'Put it back under its name. Or give it up with `tidemark restore --discard STORE`, which deletes no data.',
  });
}

function nothing({ target }: BesideFolder): TidemarkError {
  return new TidemarkError('NOTHING_TO_RESUME', `no restore has kept anything aside of ${target}`);
}
