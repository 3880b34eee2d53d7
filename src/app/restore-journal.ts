import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { connectorKinds } from '../connectors/registry.ts';
import type { GivenUp } from '../core/connector.ts';
import { isTidemarkError, systemCode, TidemarkError } from '../core/errors.ts';
import type { RandomBytes, Run } from '../core/run.ts';
import { readSmallFile, removePartials, replaceFile } from '../io/atomic-file.ts';
import { encodeJson, JsonFields } from '../repository/format/json.ts';
import type { Json } from '../repository/format/json.ts';
import type { Position } from '../core/position.ts';
import { readPosition } from '../repository/records/bodies.ts';
import { isoTime } from './shown.ts';

/**
 * How far a restore has come. `writing`: beside; nothing live has been touched. `swapping`: every store has verified, and the exchange must be
 * finished. `done`: what was there before is kept aside, or was put back since.
 */
export type RestorePhase = 'writing' | 'swapping' | 'done';

/** `segments`: of the log that the store's own engine applied. */
export type RestoredCounts = {
  readonly entries: number;
  readonly bytes: number;
  readonly reusedBytes: number;
  readonly segments?: number | undefined;
};

export type JournalStore = {
  readonly store: string;
  readonly kind: string;
  /** The scheme, what follows it, `via`, and the connector's options: enough to open the connector again. */
  readonly scheme: string;
  readonly target: string;
  readonly via: readonly string[];
  readonly options: Readonly<Record<string, Json>>;
  readonly into?: string | undefined;
  /** Where it goes, as the plan has shown it. */
  readonly shownAs?: string | undefined;
  /** What a server holds may be replaced. */
  readonly replace: boolean;
  /** What is damaged of it in the repository can be left out. */
  readonly canSkipDamaged: boolean;
  /** How the restored server calls for its log. */
  readonly followBy?: readonly string[] | undefined;
  /** Of the manifest that was restored. */
  readonly base: string;
  /** Where the history was restored to, and what was removed after it stayed. */
  readonly position: Position;
  readonly floor?: Position | undefined;
  /** Whose log leads there. */
  readonly credential?: string | undefined;
  /** With `--per-store`: when the place was committed, and whether it covers the time that was asked for. */
  readonly nearest?: { readonly atMs: number; readonly isCovered: boolean } | undefined;
  /** Which moment that is. */
  readonly momentMs?: number | undefined;
  /** What was written beside, once it has been verified. */
  readonly counts?: RestoredCounts | undefined;
  readonly keptAside?: string | undefined;
  /** How many undos were begun. While `undoing`, the last of them has not been finished. */
  readonly turn: number;
  readonly undoing: boolean;
  /** How much was left out as damaged. */
  readonly damagedCount: number;
};

export type RestoreJournal = {
  readonly id: string;
  readonly atMs: number;
  /** Absent where each store has a place of its own; with `--per-store` `askedMs` is then the time that was asked for. */
  readonly mark?: string | undefined;
  readonly askedMs?: number | undefined;
  readonly only: readonly string[];
  /** What is damaged in the repository is left out. */
  readonly skipDamaged: boolean;
  readonly phase: RestorePhase;
  readonly stores: readonly JournalStore[];
};

const FOLDER = 'restores';
const MAX_BYTES = 4 * 1024 * 1024;
const phases: readonly RestorePhase[] = ['writing', 'swapping', 'done'];

function journalPath(stateFolder: string, id: string): string {
  return join(stateFolder, FOLDER, `${id}.json`);
}

/** Durable when it resolves. */
export async function saveJournal(
  options: { readonly stateFolder: string; readonly journal: RestoreJournal; readonly random: RandomBytes },
  run: Run,
): Promise<void> {
  const { stateFolder, journal, random } = options;
  await mkdir(join(stateFolder, FOLDER), { recursive: true, mode: 0o700 });
  const stores = journal.stores.map((store) => ({ ...store }));
  await replaceFile(
    journalPath(stateFolder, journal.id),
    [encodeJson({ ...journal, stores })],
    { mode: 0o600, random },
    run,
  );
}

export async function removeJournal(stateFolder: string, id: string): Promise<void> {
  const path = journalPath(stateFolder, id);
  await removePartials(path);
  await rm(path, { force: true });
}

/** All restores that this host remembers, oldest first. @throws FAILED when a journal is damaged */
export async function listJournals(stateFolder: string): Promise<readonly RestoreJournal[]> {
  let names: readonly string[];
  try {
    names = await readdir(join(stateFolder, FOLDER));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
  const journals: RestoreJournal[] = [];
  for (const name of names.filter((file) => file.endsWith('.json'))) {
    const path = join(stateFolder, FOLDER, name);
    journals.push(parseJournal(await readSmallFile(path, MAX_BYTES), path));
  }
  return journals.toSorted((left, right) => left.atMs - right.atMs);
}

function parseJournal(bytes: Uint8Array, path: string): RestoreJournal {
  try {
    return readJournal(JsonFields.parse(bytes, path));
  } catch (error) {
    if (!isTidemarkError(error, 'REPOSITORY_DAMAGED')) throw error;
    throw new TidemarkError('FAILED', `the journal ${path} of a restore on this host is damaged`, {
      hint: 'Look what lies beside the stores that were restored, then remove the journal.',
      cause: error,
    });
  }
}

function readJournal(fields: JsonFields): RestoreJournal {
  return {
    id: fields.text('id'),
    atMs: fields.number('atMs'),
    mark: fields.optionalText('mark'),
    askedMs: fields.has('askedMs') ? fields.number('askedMs') : undefined,
    only: fields.texts('only'),
    skipDamaged: fields.flag('skipDamaged'),
    phase: fields.oneOf('phase', phases),
    stores: fields.objects('stores').map((store) => ({
      store: store.text('store'),
      kind: store.text('kind'),
      scheme: store.optionalText('scheme') ?? store.text('kind'),
      target: store.text('target'),
      via: store.has('via') ? store.texts('via') : [],
      options: store.json('options'),
      into: store.optionalText('into'),
      shownAs: store.optionalText('shownAs'),
      replace: store.has('replace') && store.flag('replace'),
      canSkipDamaged: !store.has('canSkipDamaged') || store.flag('canSkipDamaged'),
      followBy: store.has('followBy') ? store.texts('followBy') : undefined,
      base: store.text('base'),
      position: readPosition(store.object('position')),
      floor: store.has('floor') ? readPosition(store.object('floor')) : undefined,
      credential: store.optionalText('credential'),
      nearest: store.has('nearest') ? readNearest(store.object('nearest')) : undefined,
      momentMs: store.has('momentMs') ? store.number('momentMs') : undefined,
      counts: store.has('counts') ? readCounts(store.object('counts')) : undefined,
      keptAside: store.optionalText('keptAside'),
      turn: store.count('turn'),
      undoing: store.flag('undoing'),
      damagedCount: store.count('damagedCount'),
    })),
  };
}

function readCounts(fields: JsonFields): RestoredCounts {
  return {
    entries: fields.count('entries'),
    bytes: fields.count('bytes'),
    reusedBytes: fields.count('reusedBytes'),
    segments: fields.has('segments') ? fields.count('segments') : undefined,
  };
}

function readNearest(fields: JsonFields): NonNullable<JournalStore['nearest']> {
  return { atMs: fields.number('atMs'), isCovered: fields.flag('isCovered') };
}

/** Where a store goes, for people. */
export function placeText(store: JournalStore): string {
  const { scheme, target, into, shownAs } = store;
  return shownAs ?? into ?? (isOnServer(store) ? `${scheme}:${target}` : target);
}

function isOnServer({ kind }: JournalStore): boolean {
  return connectorKinds.some(({ name, target }) => name === kind && target === 'server');
}

/** What has to be finished or dropped before anything else is restored. */
export function isUnfinished(journal: RestoreJournal): boolean {
  return journal.phase !== 'done' || isBeingUndone(journal);
}

export function isBeingUndone({ stores }: RestoreJournal): boolean {
  return stores.some(({ undoing }) => undoing);
}

/** A store of a restore or an undo that was cut off in the exchange, which can be given up. */
export type LostStore = GivenUp & { readonly store: string };

/** In the middle of being exchanged: only `--resume`, or `--undo`, leads to something whole. */
export function isHalfDone(journal: RestoreJournal, store: JournalStore): boolean {
  return journal.phase === 'swapping' || store.undoing;
}

/** RESTORE_UNFINISHED, saying how to go on. `givable`: the stores of it that can be given up. */
export function unfinishedError(journal: RestoreJournal, givable: readonly LostStore[]): TidemarkError {
  const begun = `the restore ${aimText(journal)}, begun ${isoTime(journal.atMs)},`;
  if (isBeingUndone(journal)) {
    return new TidemarkError('RESTORE_UNFINISHED', `the undo of ${begun} was cut off`, {
      hint: wayOnText(journal, givable),
    });
  }
  return journal.phase === 'swapping'
    ? new TidemarkError('RESTORE_UNFINISHED', `${begun} was cut off while stores were exchanged`, {
        hint: wayOnText(journal, givable),
      })
    : new TidemarkError('RESTORE_UNFINISHED', `${begun} was cut off; nothing live was touched`, {
        hint: 'Finish it with `tidemark restore --resume`, or drop it with `tidemark restore --discard`.',
      });
}

/** How an exchange that was cut off is finished, and which stores of it can only be given up. */
export function wayOnText(journal: RestoreJournal, givable: readonly LostStore[]): string {
  const finish = `\`tidemark restore ${isBeingUndone(journal) ? '--undo' : '--resume'}\``;
  const lost = givable.filter(({ canGoOn }) => !canGoOn);
  const hasServer = lost.length < givable.length;
  const server = hasServer
    ? ' A server that does not come back is given up with `tidemark restore --discard STORE`.'
    : '';
  if (lost.length === 0) return `Finish it with ${finish}.${server}`;
  const names = lost.map(({ store }) => store);
  const states = lost.map(({ store, state }) => `${store}: ${state}`).join('. ');
  const given = `${names.join(' and ')} can’t be finished: give up with \`tidemark restore --discard ${names.join(' ')}\`, which deletes no data. ${states}.`;
  const hasMore = journal.stores.some((item) => isHalfDone(journal, item) && !names.includes(item.store));
  return hasMore ? `${given} Then finish the rest with ${finish}.${server}` : given;
}

function aimText({ mark, askedMs, stores }: RestoreJournal): string {
  if (mark !== undefined) return `of mark ${mark}`;
  if (askedMs !== undefined) return `of each store to ${isoTime(askedMs)}`;
  return `of ${stores.map(({ store, position }) => `${store} to its position ${position.resume}`).join(', ')}`;
}
