import type { RecorderContext } from '../../../core/connector.ts';
import { must } from '../../../core/must.ts';
import { orderOf } from '../../../core/position.ts';
import type { Lineage, Position } from '../../../core/position.ts';
import type { Base, BaseEnd, ByteReader, Entry, Recorder } from '../../../core/recorder.ts';
import type { Run } from '../../../core/run.ts';
import { streamProgram } from '../../../io/program.ts';
import { encodeAttributes } from '../attributes.ts';
import { clientCall } from '../client-program.ts';
import { connectSql } from '../connection.ts';
import { formatLsn, parseLsn } from '../lsn.ts';
import { placeName } from '../place.ts';
import type { PostgresPlace } from '../place.ts';
import { DumpCheck } from './dump-check.ts';

/** The one entry of such a base. */
export const DUMP = 'dump.sql';

const WHERE = `
SELECT system_identifier::text AS system,
  CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END AS lsn
FROM pg_catalog.pg_control_system()`;

/** Records a server as plain SQL: its bases are all there is. @throws STORE_UNREACHABLE */
export async function openSqlRecorder(place: PostgresPlace, context: RecorderContext, run: Run): Promise<Recorder> {
  const { system } = await ask(place, run);
  const lineage: Lineage = { id: `${system}-sql` };
  return {
    lineage,
    exact: 'observation',
    async ping(pingRun) {
      await ask(place, pingRun);
    },
    async openBase(baseRun) {
      const { lsn } = await ask(place, baseRun);
      const cut = { lineage: lineage.id, order: orderOf(lsn), resume: `sql/${formatLsn(lsn)}` };
      return new DumpBase(place, cut, context);
    },
    async [Symbol.asyncDispose]() {},
  };
}

async function ask(place: PostgresPlace, run: Run): Promise<{ readonly system: string; readonly lsn: bigint }> {
  await using sql = await connectSql(place, { name: 'tidemark' }, run);
  const [row] = await sql.query(WHERE, run);
  const lsn = must(parseLsn(row?.['lsn'] ?? ''), 'a position of the server');
  return { system: must(row?.['system'], 'the identifier of the server'), lsn };
}

class DumpBase implements Base {
  readonly entries: AsyncIterable<readonly Entry[]>;
  readonly #cut: Position;

  constructor(place: PostgresPlace, cut: Position, { runtime }: RecorderContext) {
    this.#cut = cut;
    const attributes = encodeAttributes({
      type: 'file',
      mode: 0o600,
      sizeBytes: 0,
      mtimeS: Math.floor(runtime.clock.nowMs() / 1000),
    });
    const entry: Entry = {
      name: Buffer.from(DUMP),
      estimatedBytes: 0,
      describe: () => ({
        attributes,
        content: { cut: 'stream', kind: 'reader', open: async (run) => new DumpReader(place, run) },
      }),
    };
    this.entries = onlyOne([entry]);
  }

  /** A dump that failed is not the store's to be without. */
  async retry(_entry: Entry, cause: unknown): Promise<Entry | undefined> {
    throw cause instanceof Error ? cause : new Error(String(cause));
  }

  async finish(): Promise<BaseEnd> {
    return { logFrom: this.#cut, cut: this.#cut, skipped: [], skippedCount: 0, incompleteCount: 0 };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

async function* onlyOne<T>(value: T): AsyncGenerator<T> {
  yield value;
}

class DumpReader implements ByteReader {
  readonly #pieces: AsyncGenerator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(place: PostgresPlace, run: Run) {
    this.#pieces = dumpOf(place, run);
  }

  async read(into: Uint8Array): Promise<number> {
    while (this.#rest.byteLength === 0) {
      const next = await this.#pieces.next();
      if (next.done === true) return 0;
      this.#rest = next.value;
    }
    const taken = this.#rest.subarray(0, into.byteLength);
    into.set(taken);
    this.#rest = this.#rest.subarray(taken.byteLength);
    return taken.byteLength;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pieces.return(undefined);
  }
}

/** All of a server as SQL. @throws FAILED when the program fails, or what it wrote is not whole */
export async function* dumpOf(place: PostgresPlace, run: Run): AsyncGenerator<Uint8Array> {
  const args = ['--clean', '--if-exists', '--database', place.database];
  const check = new DumpCheck(`the dump of ${placeName(place)}`);
  for await (const piece of streamProgram(await clientCall(place, 'pg_dumpall', args, run), run)) {
    check.add(piece);
    yield piece;
  }
  check.finish();
}
