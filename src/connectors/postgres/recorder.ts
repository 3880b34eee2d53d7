import { toHex } from '../../core/bytes.ts';
import type { RecorderContext } from '../../core/connector.ts';
import { isTidemarkError } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import type { Lineage, Position } from '../../core/position.ts';
import type { Base, EarlierBase, Log, Recorder } from '../../core/recorder.ts';
import type { Run } from '../../core/run.ts';
import { untilAborted } from '../../flow/until-aborted.ts';
import { askBackupSettings, assertNotedSince, findEarlierBackup } from './base/earlier-backup.ts';
import type { EarlierBackup } from './base/earlier-backup.ts';
import { openPhysicalBase } from './base/physical-base.ts';
import { connectReplication, connectSql } from './connection.ts';
import type { ClientSession, Row, Session } from './connection.ts';
import { positionLost, serverError, unreachable } from './errors.ts';
import { assertGoesOn, identify, partedPosition, whyNotOn } from './log/identity.ts';
import type { Identity } from './log/identity.ts';
import { readTail, writeTail } from './log/kept-tail.ts';
import type { Tail } from './log/kept-tail.ts';
import { openPhysicalLog } from './log/physical-log.ts';
import { recorderId } from './log/recorder-id.ts';
import { askFacts } from './log/server-shape.ts';
import type { ServerFacts } from './log/server-shape.ts';
import { createSlot, createTemporarySlot, findSlot, freeSlot } from './log/slot.ts';
import type { Slot } from './log/slot.ts';
import { segmentStart, WalHistory, withoutHeader } from './log/wal-history.ts';
import { historyFileOf } from './log/timelines.ts';
import { formatLsn, parseLsn, placeOf } from './lsn.ts';
import { addressName } from './place.ts';
import type { PostgresPlace } from './place.ts';
import { ReplicationSocket } from './replication-socket.ts';
import { askServerFile, SERVER_FILE } from './server-facts.ts';

/**
 * A recorder that stands still with its connection open, in a stopped process, must not stop the server: a checkpoint that takes a slot away waits for
 * whoever serves that slot, and that one for us to read its last message.
 */
const UNREAD_MS = 60_000;

/** Bytes of log that the server keeps for a slot at most; negative for no bound. */
const CAP = "pg_catalog.pg_size_bytes(pg_catalog.current_setting('max_slot_wal_keep_size')) AS cap";
/** What the log of this host may hold up on a server without a bound. */
const DEFAULT_CAP_BYTES = 1024n * 1024n * 1024n;

const HEAD = `
SELECT pg_catalog.pg_is_in_recovery() AS standby, ${CAP},
  pg_catalog.pg_current_wal_insert_lsn() AS inserted, pg_catalog.pg_current_wal_flush_lsn() AS flushed`;

/** What was asked is in the log, and that is on the server's disk. Empty, but a transaction of its own, which a commit flushes. */
const FLUSH = "SELECT pg_catalog.pg_logical_emit_message(true, 'tidemark', '')";

const RESTORE_POINT = 'SELECT pg_catalog.pg_create_restore_point($1)';
const LONGEST_LABEL = 63;

const DROP_SLOT = 'SELECT pg_catalog.pg_drop_replication_slot($1)';

/** A primary makes a checkpoint for each base; one of a standby begins at its last restart point. */
const RESTART_POINT = 'SELECT redo_lsn FROM pg_catalog.pg_control_checkpoint()';

const STANDBY_HEAD = `
SELECT pg_catalog.pg_is_in_recovery() AS standby, ${CAP}, pg_catalog.pg_last_wal_replay_lsn() AS replayed`;

/** Records a PostgreSQL server: its files, and its log over replication. @throws STORE_UNREACHABLE, UNSUPPORTED */
export async function openPostgresRecorder(
  place: PostgresPlace,
  context: RecorderContext,
  run: Run,
): Promise<Recorder> {
  const { stateFolder, runtime } = context;
  const id = stateFolder === undefined ? toHex(runtime.random(6)) : await recorderId(stateFolder, runtime.random, run);
  const owner = `tidemark/${id}`;
  const slotName = place.options.slot ?? (stateFolder === undefined ? 'tidemark' : `tidemark_${id}`);
  const sql = await connectSql(place, { name: owner }, run);
  try {
    const facts = await askFacts(sql, run);
    await using replication = await connectReplication(place, { name: owner, address: sql.address }, run);
    const identity = await identify(replication, run);
    const { segmentBytes, pageBytes } = facts;
    const history = new WalHistory({
      lineage: lineageOf(identity, context, addressName(sql.address)),
      shape: { segmentBytes, pageBytes },
      timelines: identity.timelines,
    });
    return new PostgresRecorder({ place, context, owner, slotName, facts, history }, sql);
  } catch (error) {
    await sql[Symbol.asyncDispose]();
    throw error;
  }
}

/** A history that begins is told from all others, also from that of a copy of the same server. */
function lineageOf(identity: Identity, { previous, runtime }: RecorderContext, server: string): Lineage {
  const { systemId, timelines } = identity;
  const id = `${systemId}-${timelines.current}-${toHex(runtime.random(4))}`;
  if (previous === undefined) return { id };
  const reason = whyNotOn(identity, previous);
  if (reason === undefined) return { id: previous.lineage };
  return { id, brokenBy: `${server}: ${reason}`, partedAt: partedPosition(identity, previous) };
}

type Parts = {
  readonly place: PostgresPlace;
  readonly context: RecorderContext;
  /** The same for all recorders of one history on this host, and for nobody else. */
  readonly owner: string;
  readonly slotName: string;
  readonly facts: ServerFacts;
  readonly history: WalHistory;
};

class PostgresRecorder implements Recorder {
  readonly exact = 'position';
  readonly lineage: Lineage;
  readonly #parts: Parts;
  readonly #history: WalHistory;
  #sql: Session;
  #isDisposed = false;
  /** As it was last asked, with each head. */
  #capBytes = DEFAULT_CAP_BYTES;
  #isTailKept = true;
  /** Ends the log that is open. */
  #leaving = new AbortController();
  /** Over one connection only one thing is asked at a time. */
  #asking: Promise<unknown> = Promise.resolve();

  constructor(parts: Parts, sql: Session) {
    this.#parts = parts;
    this.#history = parts.history;
    this.lineage = parts.history.lineage;
    this.#sql = sql;
  }

  /** Where no log is recorded beside it, it holds what it needs of that. */
  async openBase(run: Run, earlier?: EarlierBase): Promise<Base> {
    run.signal.throwIfAborted();
    const backup = earlier && (await this.#earlierBackup(earlier, run));
    if (backup === undefined) return await this.#openBase(undefined, run);
    try {
      return await this.#openBase(backup, run);
    } catch (error) {
      // Whatever else is wrong keeps the whole from being read as well.
      if (!isTidemarkError(error, 'STORE_UNREACHABLE') || error.disposition !== 'retry') throw error;
      run.signal.throwIfAborted();
      const message = 'the server can’t tell what has changed since the last base, so that all is read';
      this.#parts.context.runtime.logger.log('warn', message, { reason: error.message });
      return await this.#openBase(undefined, run);
    }
  }

  async #earlierBackup(earlier: EarlierBase, run: Run): Promise<EarlierBackup | undefined> {
    const settings = await this.#withSql((sql) => askBackupSettings(sql, run), run);
    const { readAllEvery } = this.#parts.place.options;
    return await findEarlierBackup(earlier, { settings, lineage: this.lineage.id, readAllEvery }, run);
  }

  async #openBase(earlier: EarlierBackup | undefined, run: Run): Promise<Base> {
    const { facts, context } = this.#parts;
    const withLog = context.stateFolder === undefined;
    const { session, serverFile } = await this.#withSql(async (sql) => {
      const bytes = await askServerFile(sql, earlier === undefined ? 0 : earlier.basesOfChanges + 1, run);
      return { serverFile: { name: SERVER_FILE, bytes }, session: await this.#replication(sql, run) };
    }, run);
    const historyFile = historyFileOf(this.#history.timelines);
    if (withLog) await this.#keepLogFor(session, run);
    const confirm = earlier && (() => this.#withSql((sql) => assertNotedSince(earlier.start, sql, run), run));
    return await openPhysicalBase(
      {
        socket: new ReplicationSocket(session),
        server: addressName(session.address),
        versionNumber: facts.versionNumber,
        withLog,
        earlier,
        confirm,
        more: [...(historyFile === undefined ? [] : [historyFile]), serverFile],
        ends: async ({ start, stop }) => {
          const logFrom = segmentStart(start.lsn, this.#history.shape);
          const cut = this.#history.position(stop.lsn);
          return { logFrom: withLog ? cut : this.#history.position(logFrom), cut };
        },
      },
      run,
    );
  }

  async head(run: Run): Promise<Position> {
    return await this.#withSql((sql) => this.#headOf(sql, run), run);
  }

  /** As a restore point, for who recovers by `recovery_target_name`. Its name is as long as the server allows. */
  async label(name: string, run: Run): Promise<void> {
    if (this.#parts.place.options.from === 'standby') return;
    const [encoded, decoder] = [Buffer.from(name).subarray(0, LONGEST_LABEL), new TextDecoder()];
    await this.#withSql(
      // What is cut within a character ends before it.
      (sql) => sql.query(RESTORE_POINT, run, [decoder.decode(encoded, { stream: true })]),
      run,
    );
  }

  async begin(run: Run): Promise<Position> {
    return await this.#withSql(async (sql) => {
      await using replication = await this.#replication(sql, run);
      const slot = await this.#freeSlot(sql, run);
      if (slot?.isLost === true || (slot !== undefined && slot.restart === undefined)) {
        await sql.query(DROP_SLOT, run, [this.#parts.slotName]);
      }
      await createSlot(replication, this.#parts.slotName, run);
      const { flushed } = await this.#identify(replication, run);
      const from = segmentStart(await this.#baseStart(sql, flushed, run), this.#history.shape);
      await this.#beginTail(from);
      return this.#history.position(from);
    }, run);
  }

  async openLog(after: Position, run: Run): Promise<Log> {
    return await this.#withSql(async (sql) => {
      const session = await connectReplication(
        this.#parts.place,
        { name: this.#parts.owner, address: sql.address, unreadMs: UNREAD_MS },
        run,
      );
      try {
        this.#leaving = new AbortController();
        const signal = AbortSignal.any([run.signal, this.#leaving.signal]);
        return await this.#openLogOn(sql, session, after, { signal });
      } catch (error) {
        session.destroy();
        throw error;
      }
    }, run);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    await this.#sql[Symbol.asyncDispose]();
  }

  async #openLogOn(sql: Session, session: ClientSession, after: Position, run: Run): Promise<Log> {
    const { stateFolder, runtime } = this.#parts.context;
    const server = addressName(sql.address);
    const [row] = await sql.query(`SELECT ${CAP}`, run);
    if (!this.#setCap(row)) {
      const message = 'the server has no max_slot_wal_keep_size: while its log can’t be stored, it would fill its disk';
      runtime.logger.log('warn', message, { server });
    }
    const identity = await identify(session, run);
    assertGoesOn(identity, after, server);
    this.#history.timelines = identity.timelines;
    const place = must(placeOf(after), 'a position of PostgreSQL');
    const tail = stateFolder === undefined ? undefined : await readTail(stateFolder);
    if (stateFolder !== undefined && tail === undefined) {
      throw positionLost(
        `${server}: nothing is remembered here of the end of its log, so that it can’t be told from a copy`,
      );
    }
    const slot = await this.#slotFor({ sql, session, hasSwitched: place.timeline !== identity.timelines.current }, run);
    return await openPhysicalLog(
      {
        socket: new ReplicationSocket(session),
        server,
        slot: this.#parts.slotName,
        history: this.#history,
        clock: runtime.clock,
        after: place.lsn,
        restart: slot.restart ?? place.lsn,
        tail,
        capBytes: () => this.#capBytes,
        ...(stateFolder !== undefined && { keepTail: (kept) => this.#keepTail(stateFolder, kept) }),
      },
      run,
    );
  }

  /**
   * On a server that was promoted there is none yet, or one from when it was the primary before. On one that had it, a new one would not keep what is
   * needed.
   */
  async #slotFor(
    { sql, session, hasSwitched }: { readonly sql: Session; readonly session: Session; readonly hasSwitched: boolean },
    run: Run,
  ): Promise<Slot> {
    const server = addressName(sql.address);
    const name = this.#parts.slotName;
    let slot = await this.#freeSlot(sql, run);
    if (slot?.isLost === true && hasSwitched) {
      // As a standby it went on without us. Whether it has what comes next is seen when that is asked for.
      await sql.query(DROP_SLOT, run, [name]);
      slot = undefined;
    }
    if (slot === undefined && hasSwitched) {
      await createSlot(session, name, run);
      return must(await findSlot(sql, name, run), 'the slot that was created');
    }
    if (slot === undefined) {
      throw positionLost(
        `${server}: the replication slot ${name} is gone: somebody dropped it, or the server is a copy`,
      );
    }
    if (slot.isLost) {
      throw positionLost(
        `${server}: the replication slot ${name} is lost: the server had to remove log that was not stored yet`,
        {
          hint: 'Raise max_slot_wal_keep_size, and see what kept this recorder from storing the log.',
        },
      );
    }
    return slot;
  }

  async #freeSlot(sql: Session, run: Run): Promise<Slot | undefined> {
    const { owner, context } = this.#parts;
    return await freeSlot({ sql, name: this.#parts.slotName, owner, clock: context.runtime.clock }, run);
  }

  /** While it can't be kept the server keeps more of its log, which whoever looks after it should know. */
  async #keepTail(folder: string, tail: Tail): Promise<void> {
    const { random, logger } = this.#parts.context.runtime;
    try {
      await writeTail(folder, tail, random);
      this.#isTailKept = true;
    } catch (error) {
      const message = 'the end of the server’s log can’t be remembered, so that the server keeps it';
      if (this.#isTailKept) logger.log('warn', message, { folder, cause: String(error) });
      this.#isTailKept = false;
      throw error;
    }
  }

  /** The log since the checkpoint, which a busy server would remove before it is asked for it. Kept as long as the connection is. */
  async #keepLogFor(session: ClientSession, run: Run): Promise<void> {
    try {
      const name = `tidemark_${toHex(this.#parts.context.runtime.random(6))}`;
      await createTemporarySlot(session, name, run);
    } catch (error) {
      session.destroy();
      throw error;
    }
  }

  /** What no base that is begun from now on needs log before. */
  async #baseStart(sql: Session, flushed: bigint, run: Run): Promise<bigint> {
    if (this.#parts.place.options.from !== 'standby') return flushed;
    const [row] = await sql.query(RESTART_POINT, run);
    return must(parseLsn(row?.['redo_lsn'] ?? ''), 'a restart point');
  }

  async #beginTail(from: bigint): Promise<void> {
    const { stateFolder, runtime } = this.#parts.context;
    if (stateFolder === undefined) return;
    await writeTail(stateFolder, { start: from, bytes: new Uint8Array(0) }, runtime.random);
  }

  async #headOf(sql: Session, run: Run): Promise<Position> {
    const history = this.#history;
    const { from } = this.#parts.place.options;
    const [row] = await sql.query(from === 'standby' ? STANDBY_HEAD : HEAD, run);
    if ((row?.['standby'] === 't') !== (from === 'standby')) {
      throw unreachable(`${addressName(sql.address)} is no ${from} any more`);
    }
    this.#setCap(row);
    const lsnOf = (name: string): bigint =>
      withoutHeader(must(parseLsn(row?.[name] ?? ''), 'a place in the log'), history.shape);
    if (from === 'standby') return history.position(lsnOf('replayed'));
    const inserted = lsnOf('inserted');
    if (lsnOf('flushed') < inserted) await sql.query(FLUSH, run);
    return history.position(inserted);
  }

  /** Whether there is one. */
  #setCap(row: Row | undefined): boolean {
    const capBytes = BigInt(row?.['cap'] ?? '-1');
    this.#capBytes = capBytes < 0n ? DEFAULT_CAP_BYTES : capBytes;
    return capBytes >= 0n;
  }

  async #replication(sql: Session, run: Run): Promise<ClientSession> {
    const { place, owner } = this.#parts;
    const session = await connectReplication(place, { name: `${owner}/base`, address: sql.address }, run);
    try {
      await this.#identify(session, run);
      return session;
    } catch (error) {
      session.destroy();
      throw error;
    }
  }

  /** @throws POSITION_LOST when this is not the server any more whose log is recorded */
  async #identify(session: Session, run: Run): Promise<Identity> {
    // As it was before the question: the log goes on meanwhile.
    const reached = this.#history.position(this.#history.delivered);
    const identity = await identify(session, run);
    const server = addressName(session.address);
    const { current } = identity.timelines;
    // The same numbers mean other things in the log of the server before, which may run on, and in this one's.
    if (current > this.#history.timelines.current) {
      this.#leaving.abort(unreachable(`${server} has been promoted, to timeline ${current}`));
    }
    assertGoesOn(identity, reached, server);
    this.#history.timelines = identity.timelines;
    return identity;
  }

  /** One after another. A connection that was lost is opened again, once, and only for the next call. */
  async #withSql<Result>(work: (sql: Session) => Promise<Result>, run: Run): Promise<Result> {
    run.signal.throwIfAborted();
    const before = this.#asking;
    const turn = Promise.withResolvers<void>();
    // Whoever leaves while waiting must not let the next one pass.
    this.#asking = before.then(() => turn.promise);
    try {
      await untilAborted(before, run);
      if (!this.#sql.isOpen) await this.#reconnect(run);
      return await work(this.#sql);
    } catch (error) {
      run.signal.throwIfAborted();
      throw serverError(addressName(this.#sql.address), error);
    } finally {
      turn.resolve();
    }
  }

  /** Nothing is asked of a server that is not known to be the one that is recorded. */
  async #reconnect(run: Run): Promise<void> {
    const { place, owner } = this.#parts;
    await using opened = new AsyncDisposableStack();
    const sql = opened.use(await connectSql(place, { name: owner }, run));
    await using session = await this.#replication(sql, run);
    if (!session.isOpen) {
      throw unreachable(
        `${addressName(session.address)}: the connection was lost at ${formatLsn(this.#history.delivered)}`,
      );
    }
    // A mark may ask while nothing is recorded any more: what is opened for it then nobody would close.
    if (this.#isDisposed) throw unreachable(`${addressName(sql.address)} is not recorded any more`);
    opened.move();
    this.#sql = sql;
  }
}
