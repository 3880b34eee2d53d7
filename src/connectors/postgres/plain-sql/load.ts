import { createReadStream } from 'node:fs';
import type { Run } from '../../../core/run.ts';
import { streamProgram } from '../../../io/program.ts';
import { clientCall, databaseArguments } from '../client-program.ts';
import type { PostgresPlace } from '../place.ts';
import { isEndOfDrops, isEndOfHead, roleOf } from './dump-facts.ts';

const FIXED = ['--no-psqlrc', '--quiet', '--set', 'ON_ERROR_STOP=1', '--file', '-'];

export type DumpLoad = {
  readonly file: string;
  /** Of psql. */
  readonly options: readonly string[];
  /** Lines of its head that are left out. */
  readonly without: ReadonlySet<string>;
};

/** Runs a dump against a server, up to the first error. It drops what it brings, so that it may be run again. @throws FAILED */
export async function loadDump(place: PostgresPlace, { file, options, without }: DumpLoad, run: Run): Promise<void> {
  const head = { isEnd: isEndOfDrops, isTakenOut: (line: string) => without.has(line) };
  await load(place, { options, input: (inputRun) => withoutLines(readPieces(file, inputRun), head) }, run);
}

export type ClusterLoad = {
  readonly file: string;
  /** Run first. */
  readonly before: string;
  /** That the server has: they are neither dropped nor created, since it may need them for what stays. */
  readonly roles: ReadonlySet<string>;
};

/** Runs the dump of a whole server against another, whose place has a database that always is there. @throws FAILED */
export async function loadCluster(place: PostgresPlace, { file, before, roles }: ClusterLoad, run: Run): Promise<void> {
  // They stand before the first database.
  const isTakenOut = (line: string): boolean => {
    const role = roleOf(line);
    return role !== undefined && roles.has(role);
  };
  const input = async function* (inputRun: Run): AsyncGenerator<Uint8Array> {
    yield Buffer.from(before);
    yield* withoutLines(readPieces(file, inputRun), { isEnd: isEndOfHead, isTakenOut });
  };
  await load(place, { options: [], input }, run);
}

type Load = { readonly options: readonly string[]; readonly input: (run: Run) => AsyncIterable<Uint8Array> };

async function load(place: PostgresPlace, { options, input }: Load, run: Run): Promise<void> {
  const call = await clientCall(place, 'psql', [...options, ...FIXED, ...databaseArguments(place.database)], run);
  for await (const _ of streamProgram({ ...call, input }, run)) run.signal.throwIfAborted();
}

/** A file as it is read. */
export async function* readPieces(file: string, run: Run): AsyncGenerator<Uint8Array> {
  for await (const piece of createReadStream(file, { signal: run.signal, highWaterMark: 1 << 18 })) {
    if (piece instanceof Uint8Array) yield piece;
  }
}

type Head = { isEnd(line: string): boolean; isTakenOut(line: string): boolean };

/** Behind its head nothing is looked at: what looks like a command there may be data. */
async function* withoutLines(
  pieces: AsyncIterable<Uint8Array>,
  { isEnd, isTakenOut }: Head,
): AsyncGenerator<Uint8Array> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const piece of pieces) {
    if (head === undefined) {
      yield piece;
      continue;
    }
    const text: Buffer = Buffer.concat([head, piece]);
    const end = text.lastIndexOf('\n') + 1;
    const lines = text.subarray(0, end).toString('latin1').split('\n');
    const at = lines.findIndex(isEnd);
    const isOver = at >= 0;
    const isLeftOut = (line: string): boolean => isTakenOut(Buffer.from(line, 'latin1').toString());
    const kept = lines.map((line, index) => ((!isOver || index < at) && isLeftOut(line) ? '--' : line));
    yield Buffer.from(kept.join('\n'), 'latin1');
    if (isOver) yield text.subarray(end);
    head = isOver ? undefined : text.subarray(end);
  }
  if (head !== undefined) yield head;
}
