import { unreachable } from '../errors.ts';
import type { Address, RedisServer } from '../place.ts';
import type { Reply } from '../resp.ts';

/** What a server says of its replication. Offsets count the bytes of its stream: at an offset all of them up to there are in the data. */
export type ReplicationInfo = {
  readonly isMaster: boolean;
  /** Of a replica, where its master is. */
  readonly master?: Address | undefined;
  readonly replId: string;
  /** The id before, which holds up to `secondOffset`, exclusively. */
  readonly replId2: string;
  readonly secondOffset: bigint;
  readonly offset: bigint;
  /** What it can send again: absent when it keeps nothing. Then a new replica gives it a new id. */
  readonly backlog?: { readonly firstOffset: bigint; readonly sizeBytes: number } | undefined;
};

/** The lines of a section of INFO. */
export type InfoFields = ReadonlyMap<string, string>;

export function parseInfo(reply: Reply): InfoFields {
  const text = reply instanceof Uint8Array ? Buffer.from(reply).toString() : String(reply);
  const fields = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon > 0 && !line.startsWith('#')) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}

/** @throws STORE_UNREACHABLE for one who says nothing of it */
export function parseReplicationInfo(server: RedisServer, reply: Reply): ReplicationInfo {
  const fields = parseInfo(reply);
  const field = (name: string): string => {
    const value = fields.get(name);
    if (value === undefined) throw unreachable(server, `INFO says nothing of ${name}`);
    return value;
  };
  const count = (name: string): bigint => {
    const value = field(name);
    if (!/^-?\d{1,19}$/.test(value)) throw unreachable(server, `INFO says ${value} as ${name}`);
    return BigInt(value);
  };
  const isMaster = field('role') === 'master';
  return {
    isMaster,
    master: isMaster ? undefined : { host: field('master_host'), port: Number(count('master_port')) },
    replId: field('master_replid'),
    replId2: field('master_replid2'),
    secondOffset: count('second_repl_offset'),
    offset: count('master_repl_offset'),
    backlog:
      field('repl_backlog_active') === '0'
        ? undefined
        : { firstOffset: count('repl_backlog_first_byte_offset'), sizeBytes: Number(count('repl_backlog_size')) },
  };
}
