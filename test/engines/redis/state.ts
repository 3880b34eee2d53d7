import assert from 'node:assert/strict';
import type { RedisServer } from '../../servers/redis.ts';
import { clientOf, digests } from './fill.ts';

const run = { signal: new AbortController().signal };

/** Everything that a client could see of a server, but for when keys expire. */
export async function stateOf(server: RedisServer, databases?: number): Promise<ReadonlyMap<string, string>> {
  const found = new Map([...(await digests(server, databases))].map(([key, { digest }]) => [key, digest]));
  await using client = await clientOf(server);
  for (const key of found.keys()) {
    const [database, name] = [key.slice(0, key.indexOf('/')), key.slice(key.indexOf('/') + 1)];
    await client.call(['SELECT', database], run);
    const bytes = Buffer.from(name, 'latin1');
    if ((await client.call(['TYPE', bytes], run)) !== 'stream') continue;
    found.set(`${key} in full`, textOf(await client.call(['XINFO', 'STREAM', bytes, 'FULL'], run)));
  }
  const libraries = await client.call(['FUNCTION', 'LIST', 'WITHCODE'], run);
  return found.set(
    'functions',
    (Array.isArray(libraries) ? libraries : [])
      .map(textOf)
      .toSorted((left, right) => (left < right ? -1 : 1))
      .join(' '),
  );
}

function textOf(reply: unknown): string {
  if (reply instanceof Uint8Array) return Buffer.from(reply).toString('latin1');
  if (!Array.isArray(reply)) return String(reply);
  const parts = reply.map(textOf);
  // How a stream lies in memory and when a consumer was seen is nothing that is stored; a server tells its replicas not always how much a group has read.
  const untold = /^(?:radix-tree|seen-time|active-time|entries-read|lag)/;
  return parts.filter((_, index) => !untold.test(parts[index % 2 === 0 ? index : index - 1] ?? '')).join(' ');
}

/** What differs, in few words. */
export function assertSame(
  found: ReadonlyMap<string, string>,
  wanted: ReadonlyMap<string, string>,
  message: string,
): void {
  const names = new Set([...found.keys(), ...wanted.keys()]);
  const differing = [...names].filter((name) => found.get(name) !== wanted.get(name)).slice(0, 5);
  const told = differing.map((name) => {
    const [is, should] = [found.get(name) ?? 'nothing', wanted.get(name) ?? 'nothing'];
    const from = Math.max(0, Array.from(is).findIndex((letter, at) => letter !== should[at]) - 60);
    return `${name}: ${is.slice(from, from + 150)} instead of ${should.slice(from, from + 150)}`;
  });
  assert.deepEqual(told, [], message);
  assert.ok(wanted.size > 1);
}
