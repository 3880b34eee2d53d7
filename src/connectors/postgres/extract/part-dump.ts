import { readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Run } from '../../../core/run.ts';
import { streamProgram } from '../../../io/program.ts';
import { databaseArguments } from '../client-program.ts';
import type { LoadFolder } from '../plain-sql/server-state.ts';
import { writeStream } from '../plain-sql/write-file.ts';
import type { Login, ScratchServer } from '../scratch-server.ts';
import { descendantsSql } from './descendants.ts';
import type { Wanted } from './wanted.ts';

const ENVIRONMENT = { PATH: '/usr/bin:/bin', LC_ALL: 'C' };

export type PartDump = { readonly dumper: string; readonly wanted: Wanted; readonly files: LoadFolder };

/** Dumps what is wanted out of a restored server, and notes which relations that are. Returns the size of the dump. */
export async function dumpPart(
  server: ScratchServer,
  login: Login,
  { dumper, wanted, files }: PartDump,
  run: Run,
): Promise<number> {
  const socket = server.socketFolder();
  try {
    const connection = ['--host', socket.path, '--port', String(socket.port), '--username', login.user];
    const environment = { ...ENVIRONMENT, PGOPTIONS: login.options };
    const call = (args: readonly string[]): Parameters<typeof streamProgram>[0] => ({
      command: [dumper, ...connection, '--no-password', ...args],
      environment,
    });
    const oidsOf = async (tables: readonly string[]): Promise<readonly string[]> => {
      const contents = join(files.path, 'contents.dump');
      const args = [...dumpArguments({ ...wanted, tables }), '--schema-only', '--format=custom'];
      await writeStream(contents, streamProgram(call(args), run), run);
      const oids = await relationsIn(contents, dumper, run);
      await rm(contents);
      return oids;
    };
    const namesOf = async (roots: string): Promise<readonly string[]> => {
      const rows = await server.query(wanted.database, login, descendantsSql(roots), run);
      return rows.map(([name = '']) => name);
    };
    let { tables } = wanted;
    if (tables.length > 0) {
      const oids = await oidsOf(tables);
      // Of a table the program takes no partitions, and so no rows of one that has some.
      const below = await namesOf(childrenOf(oids));
      tables = [...tables, ...below];
      const text = JSON.stringify(await namesOf(relationsOf(below.length === 0 ? oids : await oidsOf(tables))));
      await writeFile(relationsFile(files), text, { mode: 0o600, flush: true });
    }
    return await writeStream(files.restored, streamProgram(call(dumpArguments({ ...wanted, tables })), run), run);
  } finally {
    socket.close();
  }
}

export function dumpArguments({ database, tables }: Wanted): readonly string[] {
  const named = tables.flatMap((table) => ['--table', table]);
  return ['--clean', '--if-exists', ...(tables.length === 0 ? ['--create'] : named), ...databaseArguments(database)];
}

/** Tables, views and sequences that a dump of tables brings: names with their schema, quoted where they must be. */
export function dumpedRelations(files: LoadFolder, { tables }: Wanted): readonly string[] {
  if (tables.length === 0) return [];
  return JSON.parse(readFileSync(relationsFile(files), 'utf8')) as string[]; // only `dumpPart` writes it
}

function relationsFile(files: LoadFolder): string {
  return join(files.path, 'relations.json');
}

const CLASS = 1259;

/** By OID: what tables hold and what they are called can say anything. */
async function relationsIn(contents: string, dumper: string, run: Run): Promise<readonly string[]> {
  const command = [join(dirname(dumper), 'pg_restore'), '--list', contents];
  const pieces = await Array.fromAsync(streamProgram({ command, environment: ENVIRONMENT }, run));
  const text = Buffer.concat(pieces).toString('latin1');
  return [...text.matchAll(/^[0-9]+; ([0-9]+) ([0-9]+) /gm)]
    .filter(([, catalogue]) => Number(catalogue) === CLASS)
    .map(([, , oid = '']) => oid);
}

function relationsOf(oids: readonly string[]): string {
  return `SELECT oid FROM pg_catalog.pg_class WHERE oid::pg_catalog.int8 ${isOneOf(oids)}`;
}

function childrenOf(oids: readonly string[]): string {
  return `SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent::pg_catalog.int8 ${isOneOf(oids)}`;
}

function isOneOf(oids: readonly string[]): string {
  return `OPERATOR(pg_catalog.=) ANY ('{${oids.join(',')}}'::pg_catalog.int8[])`;
}
