import type { Run } from '../../../core/run.ts';
import { ErrorReply, isUnknownCommand } from '../errors.ts';
import type { Command, RedisClient } from '../resp-client.ts';
import type { Reply } from '../resp.ts';
import { encodeCommand } from '../resp.ts';
import type { ExpiryPlan } from './expiry.ts';
import { callEach, databasesOf, infoOf, scanKeys, timeOf } from './server-target.ts';

/** Hashes, and fields of each, that are looked at together. */
const MOST_HASHES = 100;
const SCAN_COUNT = '1000';

/** Gives keys, and fields of hashes, that were parked their own expiry; those that have none left expire. @throws RESTORE_FAILED, STORE_UNREACHABLE */
export async function unparkAll(client: RedisClient, unpark: ExpiryPlan['unpark'], run: Run): Promise<void> {
  await unparkKeys(client, unpark, run);
  await unparkFields(client, unpark, run);
}

async function unparkKeys(client: RedisClient, unpark: ExpiryPlan['unpark'], run: Run): Promise<void> {
  for (const { index, expiring } of await databasesOf(client, run)) {
    if (expiring === 0) continue;
    for await (const { keys } of scanKeys(client, { database: index }, run)) {
      if (keys.length === 0) continue;
      const times = await callEach(
        client,
        keys.map((key) => ['PEXPIRETIME', key]),
        run,
      );
      const nowMs = await timeOf(client, run);
      const commands = keys.flatMap((key, at) => {
        const final = unpark(Number(times[at]), nowMs);
        return final === undefined ? [] : [['PEXPIREAT', key, String(Math.max(1, Math.floor(final)))]];
      });
      await callEach(client, commands, run);
    }
  }
}

/** The same for fields of hashes. */
async function unparkFields(client: RedisClient, unpark: ExpiryPlan['unpark'], run: Run): Promise<void> {
  for (const [name, counts] of await infoOf(client, 'keyspace', run)) {
    const [, database] = /^db([0-9]+)$/.exec(name) ?? [];
    // So Redis and Valkey say how many hashes have such fields.
    if (database === undefined || /(?:subexpiry|keys_with_volatile_items)=0/.test(counts)) continue;
    if (!(await knowsFieldTimes(client, run))) return;
    for await (const { keys } of scanKeys(client, { database: Number(database), type: 'hash' }, run)) {
      for (let at = 0; at < keys.length; at += MOST_HASHES) {
        await unparkHashes(client, { keys: keys.slice(at, at + MOST_HASHES), unpark }, run);
      }
    }
  }
}

async function knowsFieldTimes(client: RedisClient, run: Run): Promise<boolean> {
  const bytes = encodeCommand(['HPEXPIRETIME', '', 'FIELDS', '1', '']);
  const [reply] = await client.send({ bytes, count: 1 }, run);
  return !(reply instanceof ErrorReply && isUnknownCommand(reply));
}

async function unparkHashes(
  client: RedisClient,
  { keys, unpark }: { readonly keys: readonly Uint8Array[]; readonly unpark: ExpiryPlan['unpark'] },
  run: Run,
): Promise<void> {
  let open: readonly (readonly [Uint8Array, string | Uint8Array])[] = keys.map((key) => [key, '0']);
  while (open.length > 0) {
    const scans = open.map(([key, cursor]) => ['HSCAN', key, cursor, 'COUNT', SCAN_COUNT, 'NOVALUES']);
    const pages = (await callEach(client, scans, run)).map(pageOf);
    const found = open.flatMap(([key], at) => {
      const { fields = [] } = pages[at] ?? {};
      return fields.length === 0 ? [] : [{ key, fields }];
    });
    const asked = found.map(({ key, fields }) => ['HPEXPIRETIME', key, 'FIELDS', String(fields.length), ...fields]);
    const times = await callEach(client, asked, run);
    const nowMs = await timeOf(client, run);
    const commands = found.flatMap(({ key, fields }, hash) => {
      const ends = listOf(times[hash]);
      return fields.flatMap((field, at): readonly Command[] => {
        const final = unpark(Number(ends[at]), nowMs);
        if (final === undefined) return [];
        return [['HPEXPIREAT', key, String(Math.max(1, Math.floor(final))), 'FIELDS', '1', field]];
      });
    });
    await callEach(client, commands, run);
    open = open.flatMap(([key], at) => {
      const { cursor = '0' } = pages[at] ?? {};
      return Buffer.from(cursor).toString() === '0' ? [] : [[key, cursor] as const];
    });
  }
}

type Page = { readonly cursor: string | Uint8Array; readonly fields: readonly Uint8Array[] };

function pageOf(reply: Reply): Page {
  const [cursor, fields] = listOf(reply);
  return {
    cursor: cursor instanceof Uint8Array ? cursor : '0',
    fields: listOf(fields).filter((field): field is Uint8Array => field instanceof Uint8Array),
  };
}

function listOf(reply: Reply | undefined): readonly Reply[] {
  return Array.isArray(reply) ? (reply as readonly Reply[]) : [];
}
