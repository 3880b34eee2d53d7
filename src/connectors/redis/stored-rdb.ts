import { TidemarkError } from '../../core/errors.ts';
import type { BaseReader, StoredContent, StoredEntry } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { decodeOrigin, isShardName, RDB_ENTRY, shardEntries, shardOf } from './base.ts';
import { readRdb } from './rdb/rdb-reader.ts';

/** The RDB of a server. `offset`: where the log goes on; undefined where there is none. */
export type WholeRdb = { readonly content: StoredContent; readonly offset: bigint | undefined };

/** The RDB of a shard of a cluster, and the slots that it had. */
export type ShardRdb = {
  readonly shard: number;
  readonly content: StoredContent;
  readonly offset: bigint;
  readonly slots: string;
};

/** `entry`: of the name that the RDB of a server has. @throws REPOSITORY_DAMAGED for what is none */
export function wholeRdbOf(entry: StoredEntry | undefined): WholeRdb {
  const content = entry?.content;
  const origin = entry && decodeOrigin(entry.attributes);
  if (content === undefined || origin === undefined) {
    throw new TidemarkError('REPOSITORY_DAMAGED', 'the base holds no RDB');
  }
  return { content, offset: origin.offset };
}

/** @throws REPOSITORY_DAMAGED for what is none */
export function shardRdbOf({ name, content, attributes }: StoredEntry): ShardRdb {
  const shard = shardOf(name);
  const { offset, slots } = decodeOrigin(attributes) ?? {};
  if (shard === undefined || content === undefined || offset === undefined || slots === undefined) {
    const message = `the base holds no RDB of a shard as ${Buffer.from(name).toString()}`;
    throw new TidemarkError('REPOSITORY_DAMAGED', message);
  }
  return { shard, content, offset, slots };
}

/** As `Connector.checkEntry`. */
export function checkEntry(entry: StoredEntry): void {
  if (isShardName(entry.name)) shardRdbOf(entry);
  else if (Buffer.from(entry.name).toString('latin1') === RDB_ENTRY) wholeRdbOf(entry);
}

/** As `Connector.checkContents`: goes through each RDB to its end. */
export async function checkContents(base: BaseReader, run: Run): Promise<void> {
  const shards = await shardEntries(base, run);
  const rdbs = shards.length > 0 ? shards.map(shardRdbOf) : [wholeRdbOf(await base.find(Buffer.from(RDB_ENTRY), run))];
  for (const { content } of rdbs) {
    for await (const _ of readRdb(base.read(content, run))) run.signal.throwIfAborted();
  }
}
