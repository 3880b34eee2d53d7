import { existsSync, lstatSync, readlinkSync, renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { RestorerContext } from '../../core/connector.ts';
import { fromSystem, TidemarkError } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import { printable } from '../../core/printable.ts';
import type { Position } from '../../core/position.ts';
import type { BaseReader, LogReader, Restorer, RestoreReport } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { ensureFolder } from '../../io/atomic-file.ts';
import { readBaseFacts } from './base-facts.ts';
import type { BaseFacts } from './base-facts.ts';
import { findBinaries } from './binaries.ts';
import { writeDataDirectory } from './data-directory.ts';
import type { Written } from './data-directory.ts';
import { placeOf } from './lsn.ts';
import { chooseOwner, putOwned } from './owner.ts';
import type { Owner } from './owner.ts';
import { appendSettings, FIRST_DATABASE, recover } from './recovery.ts';
import type { RecoveryOptions } from './recovery.ts';
import type { RestoreSettings } from './restore-settings.ts';
import { assertNoServer, endLeftover } from './running-server.ts';
import { setting } from './scratch-server.ts';
import { COLLATIONS, collationNotes, readCollations } from './server-facts.ts';
import { forgetVerified, markVerified, swapIn } from './swap.ts';
import { moveOut, tablespaceHome } from './tablespaces.ts';
import type { TablespaceHome } from './tablespaces.ts';
import { findTarget } from './target-place.ts';
import type { TargetPlace } from './target-place.ts';
import { withBaseLog } from './wal/base-log.ts';
import { WalFeed } from './wal-feed.ts';

type Restored = {
  readonly base: BaseReader;
  readonly facts: BaseFacts;
  readonly owner: Owner;
  readonly binFolder: string | undefined;
  readonly written: Written;
};

/** Restores a data directory beside the one that is there. `users`: who may look into the restored server, tried in turn. */
export class DataDirectoryRestorer implements Restorer {
  readonly #place: TargetPlace;
  readonly #settings: RestoreSettings;
  readonly #context: RestorerContext;
  readonly #users: readonly string[];
  #restored: Restored | undefined;
  #notes: readonly string[] = [];

  /** @throws RESTORE_CONFLICT when the target is no folder */
  constructor(target: string, settings: RestoreSettings, context: RestorerContext, users: readonly string[]) {
    this.#place = findTarget(target, context.id);
    this.#settings = settings;
    this.#context = context;
    this.#users = users;
  }

  async restoreBase(base: BaseReader, run: Run): Promise<RestoreReport> {
    run.signal.throwIfAborted();
    const { target, fresh, part, exists, home } = this.#place;
    await forgetVerified(this.#place);
    assertReplaceable(this.#place);
    const facts = await readBaseFacts(base, run);
    const owner = chooseOwner(this.#settings.owner, exists ? target : undefined);
    await this.#saveLeftover(run);
    await ensureFolder(home, 0o755);
    const candidates = [part, ...(exists ? [target] : [])];
    const written = await withSystemErrors(fresh, () =>
      writeDataDirectory(
        base,
        { folder: fresh, owner, candidates, tablespaces: facts.tablespaces, tablespaceHome: this.#tablespaceHome() },
        run,
      ),
    );
    await rm(part, { recursive: true, force: true });
    const { majorVersion } = facts.shape;
    const binFolder = await findBinaries(majorVersion, this.#settings.binFolder);
    this.#restored = { base, facts, owner, binFolder, written };
    const notes = [...notesOf(facts, binFolder), ...(exists ? linkNotes(target) : [])];
    return { ...written, notes, noteCount: notes.length };
  }

  async rollForward(log: LogReader, to: Position, run: Run): Promise<void> {
    const { base, facts, owner, binFolder } = must(this.#restored, 'a base was restored');
    const place = must(placeOf(to), 'a place in the log of a PostgreSQL server');
    const whole = withBaseLog(base, log, { segmentBytes: facts.shape.segmentBytes, to });
    const folder = this.#place.fresh;
    const { followBy } = this.#context;
    const pause = this.#isStandby;
    const { clock } = this.#context.runtime;
    const recovery = { folder, facts, owner, clock, to: place, users: this.#users, pause };
    await withSystemErrors(folder, async () => {
      if (binFolder !== undefined) {
        const before = await readCollations(base, run);
        const use: RecoveryOptions['use'] = async (server, login) => {
          const now = await server.query(FIRST_DATABASE, login, COLLATIONS, run);
          this.#notes = collationNotes(before, now.flat());
        };
        await recover(whole, { ...recovery, binFolder, use }, run);
        moveOut(folder, this.#tablespaceHome(), owner);
      } else await this.#leaveLog(whole, recovery, run);
      if (pause) appendSettings(folder, standbySettings(place.timeline, followBy), owner);
    });
  }

  async verify(run: Run): ReturnType<Restorer['verify']> {
    const { entries, bytes } = must(this.#restored, 'a base was restored').written;
    await markVerified(this.#place, this.#context.runtime.random, run);
    return { entries, bytes, notes: this.#notes };
  }

  async swap(run: Run): Promise<{ readonly keptAside?: string | undefined }> {
    const { random } = this.#context.runtime;
    const check = (): void => assertReplaceable(this.#place);
    return await withSystemErrors(this.#place.target, async () => await swapIn(this.#place, { random, check }, run));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#restored = undefined;
  }

  get #isStandby(): boolean {
    return this.#settings.endRecovery === 'pause' || this.#context.followBy !== undefined;
  }

  #tablespaceHome(): TablespaceHome {
    return tablespaceHome(this.#place.target, this.#context.id, this.#settings.tablespaces);
  }

  async #saveLeftover(run: Run): Promise<void> {
    const { fresh, part } = this.#place;
    if (!existsSync(fresh)) return;
    await endLeftover(fresh, this.#context.runtime.clock, run);
    await rm(part, { recursive: true, force: true });
    renameSync(fresh, part);
  }

  /** For a server that is started there later: it finds all that it needs, and recovers by itself. */
  async #leaveLog(
    log: LogReader,
    { folder, facts, to, owner }: { folder: string; facts: BaseFacts; to: WalFeedPlace; owner: Owner },
    run: Run,
  ): Promise<void> {
    await using feed = new WalFeed({ facts, to, folder: join(folder, 'pg_wal'), owner, durable: false });
    for await (const _ of feed.files(log, run)) run.signal.throwIfAborted();
    if (feed.hasTablespaces) appendSettings(folder, setting(['allow_in_place_tablespaces', 'on']), owner);
    if (this.#isStandby) {
      putOwned(join(folder, 'standby.signal'), '', owner);
      return;
    }
    putOwned(join(folder, 'recovery.signal'), '', owner);
    const settings = { ...NOTHING_ELSE, restore_command: 'false', recovery_target_timeline: String(to.timeline) };
    appendSettings(folder, Object.entries(settings).map(setting).join(''), owner);
  }
}

type WalFeedPlace = ConstructorParameters<typeof WalFeed>[0]['to'];

/** An earlier recovery of the server, or whoever took it, may have left other ends and commands in its settings. */
const NOTHING_ELSE = {
  recovery_target: '',
  recovery_target_lsn: '',
  recovery_target_name: '',
  recovery_target_time: '',
  recovery_target_xid: '',
  recovery_min_apply_delay: '0',
  recovery_end_command: '',
  archive_cleanup_command: '',
};

/**
 * Of a server that stands still at a place, where nothing but what it has is replayed and nothing else is followed; or of one that follows the
 * repository, through timelines that come later as well.
 */
function standbySettings(timeline: number, followBy: readonly string[] | undefined): string {
  const settings = {
    ...NOTHING_ELSE,
    primary_conninfo: '',
    primary_slot_name: '',
    restore_command: followBy === undefined ? '' : followBy.map(shellWord).join(' '),
    recovery_target_timeline: followBy === undefined ? String(timeline) : 'latest',
    // As the log that it is given has them.
    ...(followBy !== undefined && { allow_in_place_tablespaces: 'on' }),
  };
  return Object.entries(settings).map(setting).join('');
}

/** The server hands the command to a shell, after it has put in what `%f` and `%p` stand for; another `%` is written twice. */
function shellWord(word: string): string {
  if (word === '%f' || word === '%p') return `"${word}"`;
  return `'${word.replaceAll("'", `'\\''`).replaceAll('%', '%%')}'`;
}

function notesOf({ shape }: BaseFacts, binFolder: string | undefined): string[] {
  const notes: string[] = [];
  if (binFolder === undefined) {
    const { majorVersion } = shape;
    notes.push(
      `this host has no programs of PostgreSQL ${majorVersion}: the server recovers when it is first started, and was not looked into`,
    );
  }
  return notes;
}

/** A base has what is behind it, and not that it lies elsewhere. */
function linkNotes(target: string): string[] {
  const log = join(target, 'pg_wal');
  if (lstatSync(log, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return [];
  return [`pg_wal was a link to ${printable(readlinkSync(log))}, and is a folder of the restored data directory`];
}

/** @throws RESTORE_CONFLICT when the target can't be exchanged */
function assertReplaceable({ exists, target, mounted }: TargetPlace): void {
  if (exists) assertNoServer(target);
  if (!mounted) return;
  throw new TidemarkError('RESTORE_CONFLICT', `${target} is a mount point, which can’t be exchanged in one step`, {
    hint: `Restore into a folder in it, or in ${dirname(target)}, with --into.`,
  });
}

/** Of what the system refuses while a folder is restored. */
export async function withSystemErrors<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof TidemarkError || !(error instanceof Error && 'code' in error && 'syscall' in error)) {
      throw error;
    }
    throw fromSystem(error, 'RESTORE_FAILED', `${path} can’t be restored`);
  }
}
