import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

const WRITER = /^-- Dumped by pg_dump version ([0-9]+)/;

/** What the dump of a whole server says of itself. */
export type DumpFacts = {
  /** Names of databases that it creates. `template0` is none of them. */
  readonly databases: ReadonlySet<string>;
  readonly roles: ReadonlySet<string>;
  /** The major version of the program that wrote it. */
  readonly writtenBy: number | undefined;
};

/** Where roles and tablespaces are over, and databases begin. What looks like a command later may be data. */
export function isEndOfHead(line: string): boolean {
  return line.startsWith('\\connect ');
}

/** Where a dump of one database or of tables has dropped what it brings. What looks like a command later may be data. */
export function isEndOfDrops(line: string): boolean {
  return /^(?:CREATE|COPY) /.test(line);
}

/** The role that a line of the head drops or creates. */
export function roleOf(line: string): string | undefined {
  return nameIn(/^(?:DROP ROLE IF EXISTS|CREATE ROLE) (?:([^"; ]+)|"((?:[^"]|"")+)");$/.exec(line));
}

export async function readDumpFacts(file: string): Promise<DumpFacts> {
  const databases = new Set<string>();
  const roles = new Set<string>();
  let writtenBy: number | undefined;
  let isHead = true;
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const database = nameIn(/^CREATE DATABASE (?:([^" ]+)|"((?:[^"]|"")+)") /.exec(line));
    if (database !== undefined) databases.add(database);
    isHead &&= !isEndOfHead(line);
    const role = isHead ? roleOf(line) : undefined;
    if (role !== undefined) roles.add(role);
    const [, major] = (writtenBy === undefined && WRITER.exec(line)) || [];
    if (major !== undefined) writtenBy = Number(major);
  }
  return { databases, roles, writtenBy };
}

function nameIn(match: RegExpExecArray | null): string | undefined {
  const [, plain, quoted] = match ?? [];
  return plain ?? quoted?.replaceAll('""', '"');
}

/** The major version of the program that wrote a dump of any kind; undefined when its head does not tell. */
export async function writerOf(file: string): Promise<number | undefined> {
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const [, major] = WRITER.exec(line) ?? [];
    if (major !== undefined) return Number(major);
    if (line !== '' && !/^(?:--|\\restrict |DROP |ALTER TABLE )/.test(line)) return undefined;
  }
  return undefined;
}
