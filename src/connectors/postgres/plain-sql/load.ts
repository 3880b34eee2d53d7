import { createReadStream } from 'node:fs';
import type { Run } from '../../../core/run.ts';
import { streamProgram } from '../../../io/program.ts';
import { clientCall } from '../client-program.ts';
import type { PostgresPlace } from '../place.ts';

/** Runs a dump against a server, up to the first error. It drops what it brings, so that it may be run again. `options`: of psql. @throws FAILED */
export async function loadDump(
  place: PostgresPlace,
  file: string,
  run: Run,
  options: readonly string[] = [],
): Promise<void> {
  const fixed = ['--no-psqlrc', '--quiet', '--set', 'ON_ERROR_STOP=1', '--dbname', place.database, '--file', '-'];
  const args = [...options, ...fixed];
  const call = await clientCall(place, 'psql', args, run);
  const input = (inputRun: Run): AsyncIterable<Uint8Array> => withoutOwnRole(readPieces(file, inputRun), place.user);
  for await (const _ of streamProgram({ ...call, input }, run)) run.signal.throwIfAborted();
}

async function* readPieces(file: string, run: Run): AsyncGenerator<Uint8Array> {
  for await (const piece of createReadStream(file, { signal: run.signal, highWaterMark: 1 << 18 })) {
    if (piece instanceof Uint8Array) yield piece;
  }
}

/**
 * The role that loads a dump can neither be dropped nor created: the dump's commands for that are taken out. They stand at its start, before
 * the first database.
 */
export async function* withoutOwnRole(pieces: AsyncIterable<Uint8Array>, role: string): AsyncGenerator<Uint8Array> {
  const names = [role, `"${role.replaceAll('"', '""')}"`];
  const left = new Set(names.flatMap((name) => [`DROP ROLE IF EXISTS ${name};`, `CREATE ROLE ${name};`]));
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const piece of pieces) {
    if (head === undefined) {
      yield piece;
      continue;
    }
    const text: Buffer = Buffer.concat([head, piece]);
    const end = text.lastIndexOf('\n') + 1;
    const lines = text.subarray(0, end).toString('latin1').split('\n');
    const at = lines.findIndex((line) => line.startsWith('\\connect '));
    const isOver = at >= 0;
    const kept = lines.map((line, index) => ((isOver && index > at) || !left.has(utf8(line)) ? line : '--'));
    yield Buffer.from(kept.join('\n'), 'latin1');
    if (isOver) yield text.subarray(end);
    head = isOver ? undefined : text.subarray(end);
  }
  if (head !== undefined) yield head;
}

function utf8(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString();
}
