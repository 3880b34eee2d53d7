import { createReadStream } from 'node:fs';
import type { Run } from '../../../core/run.ts';
import { streamProgram } from '../../../io/program.ts';
import { clientCall } from '../client-program.ts';
import type { PostgresPlace } from '../place.ts';
import { isEndOfHead, roleOf } from './dump-facts.ts';

const FIXED = ['--no-psqlrc', '--quiet', '--set', 'ON_ERROR_STOP=1', '--file', '-'];

/** Runs a dump against a server, up to the first error. It drops what it brings, so that it may be run again. `options`: of psql. @throws FAILED */
export async function loadDump(
  place: PostgresPlace,
  file: string,
  run: Run,
  options: readonly string[] = [],
): Promise<void> {
  await load(place, { options, input: (inputRun) => readPieces(file, inputRun) }, run);
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
  const input = async function* (inputRun: Run): AsyncGenerator<Uint8Array> {
    yield Buffer.from(before);
    yield* withoutRoles(readPieces(file, inputRun), roles);
  };
  await load(place, { options: [], input }, run);
}

type Load = { readonly options: readonly string[]; readonly input: (run: Run) => AsyncIterable<Uint8Array> };

async function load(place: PostgresPlace, { options, input }: Load, run: Run): Promise<void> {
  const call = await clientCall(place, 'psql', [...options, ...FIXED, '--dbname', place.database], run);
  for await (const _ of streamProgram({ ...call, input }, run)) run.signal.throwIfAborted();
}

/** A file as it is read. */
export async function* readPieces(file: string, run: Run): AsyncGenerator<Uint8Array> {
  for await (const piece of createReadStream(file, { signal: run.signal, highWaterMark: 1 << 18 })) {
    if (piece instanceof Uint8Array) yield piece;
  }
}

/** The dump's commands that drop and create the roles are taken out. They stand at its start, before the first database. */
async function* withoutRoles(
  pieces: AsyncIterable<Uint8Array>,
  roles: ReadonlySet<string>,
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
    const at = lines.findIndex(isEndOfHead);
    const isOver = at >= 0;
    const isTakenOut = (line: string): boolean => {
      const role = roleOf(Buffer.from(line, 'latin1').toString());
      return role !== undefined && roles.has(role);
    };
    const kept = lines.map((line, index) => ((!isOver || index < at) && isTakenOut(line) ? '--' : line));
    yield Buffer.from(kept.join('\n'), 'latin1');
    if (isOver) yield text.subarray(end);
    head = isOver ? undefined : text.subarray(end);
  }
  if (head !== undefined) yield head;
}
