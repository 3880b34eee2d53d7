import { TidemarkError } from '../../../core/errors.ts';
import type { Run } from '../../../core/run.ts';
import { commandName } from '../commands/command-reader.ts';
import { ErrorReply, isUnknownCommand, refusal, RESTORE_RULES } from '../errors.ts';
import type { RedisClient } from '../resp-client.ts';
import { encodeCommand, itemsOf, textOf } from '../resp.ts';
import { infoOf, rdbVersionOf } from './server-target.ts';
import type { ServerTarget } from './server-target.ts';
import type { RestoreState } from './work-files.ts';

/*
 * Whether a server takes what is to be sent, before anything of it is removed.
 */

/** What there is to be sent. */
export type Needs = Pick<
  RestoreState,
  'rdbVersion' | 'databases' | 'largestBytes' | 'usedBytes' | 'hasModules' | 'samples'
>;

const PROBED_KEY = 'tidemark:probe';
const FOR_ALL = [
  ['RESTORE', PROBED_KEY, '0', ''],
  ['SET', PROBED_KEY, ''],
  ['DEL', PROBED_KEY],
  ['SELECT', '0'],
  ['SCAN', '0'],
  ['EXISTS', PROBED_KEY],
];
const FOR_WHOLE = [
  ['FLUSHALL', 'ASYNC'],
  ['FUNCTION', 'FLUSH', 'SYNC'],
  ['FUNCTION', 'RESTORE', ''],
  ['PEXPIRETIME', PROBED_KEY],
  ['PEXPIREAT', PROBED_KEY, '1'],
];
const FOR_PART = [['UNLINK', PROBED_KEY]];
/** By which fields of hashes get their expiry when the log is done. Many servers know none of it, and then have no such fields. */
const FOR_FIELDS = [
  ['HPEXPIREAT', PROBED_KEY, '1', 'FIELDS', '1', ''],
  ['HPEXPIRETIME', PROBED_KEY, 'FIELDS', '1', ''],
  ['HSCAN', PROBED_KEY, '0'],
];

/** What is there is in the way of it, and is removed before; or another master has that key, which is only said where the command is permitted. */
const PASSING: ReadonlySet<string> = new Set(['OOM', 'MOVED', 'ASK']);
/** What waiting does not change: it is not permitted, or not known. */
const LASTING: ReadonlySet<string> = new Set(['NOPERM', 'ERR']);

/**
 * Whether the server knows and permits the commands that a restore consists of. They are queued in a transaction that is dropped: the server checks them and
 * does none. `samples`: more of them. @throws UNSUPPORTED naming the first that it refuses; STORE_UNREACHABLE where it takes nothing now
 */
export async function assertPermits(
  target: Pick<ServerTarget, 'client' | 'shown'>,
  { only, samples = [] }: { readonly only: readonly string[] | undefined; readonly samples?: readonly string[] },
  run: Run,
): Promise<void> {
  const own = [...FOR_ALL, ...(only === undefined ? FOR_WHOLE : FOR_PART)].map((words) => encodeCommand(words));
  // Nothing that would do something is sent before it is certain that what is sent is only queued.
  await assertQueued(target, { probes: [encodeCommand(['MULTI'])], answer: 'OK' }, run);
  await assertQueued(target, { probes: [encodeCommand(['TIME'])], answer: 'QUEUED' }, run);
  await assertQueued(
    target,
    { probes: [...own, ...samples.map((sample) => Buffer.from(sample, 'latin1'))], answer: 'QUEUED' },
    run,
  );
  if (only === undefined) {
    const probes = FOR_FIELDS.map((words) => encodeCommand(words));
    await assertQueued(target, { probes, answer: 'QUEUED', mayBeUnknown: true }, run);
  }
  await target.client.call(['DISCARD'], run);
}

/** `mayBeUnknown`: a server that does not know the first is asked for none of them. */
type Probing = { readonly probes: readonly Buffer[]; readonly answer: string; readonly mayBeUnknown?: boolean };

/** The transaction is dropped when it throws. */
async function assertQueued(
  { client, shown }: Pick<ServerTarget, 'client' | 'shown'>,
  { probes, answer, mayBeUnknown = false }: Probing,
  run: Run,
): Promise<void> {
  const replies = await client.send({ bytes: Buffer.concat(probes), count: probes.length }, run);
  const [first] = replies;
  if (mayBeUnknown && first instanceof ErrorReply && isUnknownCommand(first)) return;
  const at = replies.findIndex((reply) => {
    return reply instanceof ErrorReply ? !PASSING.has(reply.kind) : reply !== answer;
  });
  const refused = replies[at];
  if (refused === undefined) return;
  await client.send({ bytes: encodeCommand(['DISCARD']), count: 1 }, run);
  if (refused instanceof ErrorReply && !LASTING.has(refused.kind)) throw refusal(client.server, refused);
  const name = commandName(probes[at] ?? Buffer.of(), 0);
  const told = refused instanceof ErrorReply ? refused.message : 'it has no transactions';
  const isDenied = refused instanceof ErrorReply && refused.kind === 'NOPERM';
  throw new TidemarkError('UNSUPPORTED', `${shown} refuses ${name}, which a restore needs: ${told}`, {
    hint: isDenied
      ? `Grant what a restore needs: ACL SETUSER ${client.server.user ?? 'default'} ${RESTORE_RULES}; or name another user in --into.`
      : 'Mend what the server says, or restore into another server or into files with --into.',
    cause: refused instanceof ErrorReply ? refused : undefined,
  });
}

/** Whether all of it has room in the server, as far as that can be known. @throws UNSUPPORTED */
export async function assertTakes(target: ServerTarget, needs: Needs, run: Run): Promise<void> {
  const { client, shown } = target;
  const refuse = (message: string, hint: string): never => {
    throw new TidemarkError('UNSUPPORTED', `${shown} ${message}`, { hint });
  };
  const version = await rdbVersionOf(client, run);
  if (version < needs.rdbVersion) {
    refuse(
      `takes values of RDB version ${version}, and these are of version ${needs.rdbVersion}`,
      'Restore into a server of the version that was backed up, or a newer one.',
    );
  }
  if (!(await hasDatabase(client, needs.databases - 1, run))) {
    const count = (await settingOf(client, 'databases', run)) ?? 'fewer';
    refuse(
      `has ${count} databases, and ${needs.databases} are needed`,
      'Raise `databases` in its configuration and start it anew.',
    );
  }
  const limit = await settingOf(client, 'proto-max-bulk-len', run);
  if (limit !== undefined && needs.largestBytes > limit) {
    refuse(
      `takes values of ${limit} bytes at most, and the largest has ${needs.largestBytes}`,
      'Raise its proto-max-bulk-len and client-query-buffer-limit for the time of the restore, or restore into files.',
    );
  }
  const memory = Number((await infoOf(client, 'memory', run)).get('maxmemory') ?? 0);
  if (memory > 0 && (needs.usedBytes ?? 0) > memory) {
    refuse(
      `may take ${memory} bytes of memory (maxmemory), and what is restored took ${needs.usedBytes}`,
      'Raise its maxmemory, or restore into another server.',
    );
  }
  if (needs.hasModules === true && (await hasNoModules(client, run))) {
    refuse(
      'has no modules, and what is restored holds values that only a module understands',
      'Restore into a server that has the same modules loaded.',
    );
  }
}

async function hasDatabase(client: RedisClient, index: number, run: Run): Promise<boolean> {
  const [reply] = await client.send({ bytes: encodeCommand(['SELECT', String(index)]), count: 1 }, run);
  return !(reply instanceof ErrorReply);
}

async function hasNoModules(client: RedisClient, run: Run): Promise<boolean> {
  const [reply = null] = await client.send({ bytes: encodeCommand(['MODULE', 'LIST']), count: 1 }, run);
  return Array.isArray(reply) && reply.length === 0;
}

/** Undefined where it is hidden, as managed services do; then the server itself refuses what is too large. */
async function settingOf(client: RedisClient, name: string, run: Run): Promise<number | undefined> {
  const [reply = null] = await client.send({ bytes: encodeCommand(['CONFIG', 'GET', name]), count: 1 }, run);
  const [, value] = itemsOf(reply);
  return value === undefined ? undefined : Number(textOf(value));
}
