import { isTidemarkError } from '../../core/errors.ts';
import type { Finding } from '../../core/finding.ts';
import { must } from '../../core/must.ts';
import type { Run, Runtime } from '../../core/run.ts';
import { assertStill, openCluster } from './cluster/open-cluster.ts';
import type { Cluster } from './cluster/open-cluster.ts';
import { ErrorReply } from './errors.ts';
import { askReplication, openMaster } from './link/find-master.ts';
import type { Master } from './link/find-master.ts';
import { ReplicaLink } from './link/replica-link.ts';
import { parseInfo } from './link/replication-info.ts';
import type { InfoFields } from './link/replication-info.ts';
import { itemsOf, textOf } from './resp.ts';
import { assertPermits } from './restore/target-checks.ts';
import { shownAddress } from './place.ts';
import type { RedisPlace } from './place.ts';

const MEASURED_MS = 1_000;
/** How long a recorder may be away at the rate of now. */
const BACKLOG_SECONDS = 120;
const SETTINGS = [
  'client-output-buffer-limit',
  'maxmemory',
  'maxmemory-policy',
  'save',
  'appendonly',
  'repl-diskless-sync',
  'repl-diskless-sync-delay',
  'repl-backlog-ttl',
  'min-replicas-to-write',
];
const LOOPBACK = /^(?:localhost|127\.|::1$)/;

/** What keeps a Redis server from being recorded, or may one day. Writes nothing, and makes it write nothing. */
export async function diagnoseRedis(place: RedisPlace, { clock }: Runtime, run: Run): Promise<readonly Finding[]> {
  try {
    await using cluster = place.source === 'scan' ? undefined : await openCluster(place, { clock }, run);
    if (cluster !== undefined) return await clusterFindings(cluster, clock, run);
    const master = await openMaster(place, clock, run);
    await using _client = master.client;
    const found = await masterFindings(master, run);
    if (place.source === 'scan') return [...found, scanFinding(place)];
    return [...found, ...(await replicaFindings(master, clock, run))];
  } catch (error) {
    return [errorFinding(error)];
  }
}

async function masterFindings(master: Master, run: Run): Promise<readonly Finding[]> {
  const fields = parseInfo(await master.client.call(['INFO', 'all'], run));
  return [
    ...transportFindings(master),
    ...modulesFindings(fields),
    ...(await settingsFindings(master, run)),
    ...(await restoreFindings(master, run)),
  ];
}

async function replicaFindings(master: Master, clock: Runtime['clock'], run: Run): Promise<readonly Finding[]> {
  const refused = await permissionFindings(master, clock, run);
  return [...refused, ...(await backlogFindings(master, clock, run))];
}

/** What is said of one master is said with its address, each thing once where all say the same. */
async function clusterFindings(cluster: Cluster, clock: Runtime['clock'], run: Run): Promise<readonly Finding[]> {
  const of = await Promise.all(
    cluster.masters.map(async (master) => [
      ...(await masterFindings(master, run)),
      ...(await replicaFindings(master, clock, run)),
    ]),
  );
  const found = new Map<string, Finding>();
  for (const [index, findings] of of.entries()) {
    const at = shownAddress(must(cluster.masters[index], 'a master').client.server);
    for (const finding of findings) {
      const { message } = finding;
      const key = `${finding.code} ${message.replaceAll(at, '')}`;
      if (!found.has(key)) {
        found.set(key, message.includes(at) ? finding : { ...finding, message: `${at}: ${message}` });
      }
    }
  }
  try {
    assertStill(cluster.masters);
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    const { message, hint } = error;
    return [...found.values(), { code: 'REDIS_SLOTS_MOVE', severity: 'warning', message, hint }];
  }
  return [...found.values()];
}

function errorFinding(error: unknown): Finding {
  if (!isTidemarkError(error)) throw error;
  const code = error.code === 'UNSUPPORTED' ? 'REDIS_UNSUPPORTED' : 'REDIS_UNREACHABLE';
  return { code, severity: 'error', message: error.message, hint: error.hint };
}

function scanFinding(place: RedisPlace): Finding {
  return {
    code: 'REDIS_SCANNED',
    severity: 'warning',
    message: `${shownAddress(place)} is read key by key: a base is no single moment, and there is no log between two`,
    hint: 'Use source: psync where the server permits replicas.',
  };
}

function transportFindings({ client }: Master): Finding[] {
  const { host, tls } = client.server;
  if (tls !== undefined || LOOPBACK.test(host)) return [];
  return [
    {
      code: 'REDIS_PLAIN',
      severity: 'warning',
      message: `everything, also the password, goes to ${shownAddress(client.server)} unencrypted`,
      hint: 'Let the server speak TLS, and begin the URL with rediss:.',
    },
  ];
}

function modulesFindings(fields: InfoFields): Finding[] {
  const [, name] = /^name=([^,]+)/.exec(fields.get('module') ?? '') ?? [];
  if (name === undefined) return [];
  return [
    {
      code: 'REDIS_MODULES',
      severity: 'warning',
      message: `the server has modules loaded, among them ${name}, whose values only they understand`,
      hint: 'Restore only into servers that have the same modules.',
    },
  ];
}

async function permissionFindings(master: Master, clock: Runtime['clock'], run: Run): Promise<Finding[]> {
  const { client } = master;
  const { replId, offset, backlog } = await askReplication(client, run);
  // Without a backlog the question would make the server write an RDB, and begin a new history.
  if (backlog === undefined) return await dryRunFindings(master, run);
  try {
    await using link = await ReplicaLink.open(client.server, clock, run);
    await link.ask({ replId, offset }, run);
    await link.answer(run);
    return [];
  } catch (error) {
    const isRefused = isTidemarkError(error) && error.cause instanceof ErrorReply && error.cause.kind === 'NOPERM';
    if (!isRefused) throw error;
    return [{ code: 'REDIS_PERMISSION', severity: 'error', message: error.message, hint: error.hint }];
  }
}

/** Recording needs much less, so that it is no error. */
async function restoreFindings({ client }: Master, run: Run): Promise<Finding[]> {
  const shown = `the Redis server ${shownAddress(client.server)}`;
  try {
    await assertPermits({ client, shown }, { only: undefined }, run);
    return [];
  } catch (error) {
    if (!(isTidemarkError(error) && error.cause instanceof ErrorReply)) throw error;
    if (error.code !== 'UNSUPPORTED') return [];
    const message = `a restore into it would be refused: ${error.message}`;
    return [{ code: 'REDIS_RESTORE_PERMISSION', severity: 'note', message, hint: error.hint }];
  }
}

async function dryRunFindings({ client }: Master, run: Run): Promise<Finding[]> {
  const user = client.server.user ?? 'default';
  const refused: string[] = [];
  for (const command of [
    ['REPLCONF', 'ACK', '0'],
    ['PSYNC', '?', '-1'],
  ]) {
    try {
      const reply = await client.call(['ACL', 'DRYRUN', user, ...command], run);
      if (reply !== 'OK') refused.push(`${command[0]}`.toLowerCase());
    } catch (error) {
      if (!(isTidemarkError(error) && error.cause instanceof ErrorReply)) throw error;
      const message = `it can’t be found out whether the user ${user} may be a replica`;
      const hint = `Recording shows it. To have it checked here: ACL SETUSER ${user} +acl|dryrun.`;
      return [{ code: 'REDIS_PERMISSION_UNKNOWN', severity: 'note', message, hint }];
    }
  }
  if (refused.length === 0) return [];
  return [
    {
      code: 'REDIS_PERMISSION',
      severity: 'error',
      message: `the user ${user} of ${shownAddress(client.server)} lacks a permission: ${refused.join(', ')}`,
      hint: `Grant it with ACL SETUSER ${user} ${refused.map((name) => `+${name}`).join(' ')}, or use source: scan.`,
    },
  ];
}

async function backlogFindings({ client, server }: Master, clock: Runtime['clock'], run: Run): Promise<Finding[]> {
  const before = await askReplication(client, run);
  const startMs = clock.monotonicMs();
  await clock.sleep(MEASURED_MS, run);
  const { offset, backlog } = await askReplication(client, run);
  if (backlog === undefined) return [];
  const now = Number(offset - before.offset) / ((clock.monotonicMs() - startMs) / 1_000);
  const average = Number(offset) / Math.max(1, Number(server.get('uptime_in_seconds') ?? 1));
  const bytesPerSecond = Math.max(now, average);
  const seconds = backlog.sizeBytes / Math.max(1, bytesPerSecond);
  if (seconds >= BACKLOG_SECONDS) return [];
  const wantedMiB = Math.ceil((bytesPerSecond * BACKLOG_SECONDS) / 2 ** 20);
  return [
    {
      code: 'REDIS_BACKLOG_SMALL',
      severity: 'warning',
      message: `the server keeps the last ${Math.round(seconds)} s of its changes (repl-backlog-size ${backlog.sizeBytes}): a recorder that is away for longer leaves a gap`,
      hint: `CONFIG SET repl-backlog-size ${wantedMiB}mb, and the same in its configuration.`,
    },
  ];
}

async function settingsFindings({ client }: Master, run: Run): Promise<Finding[]> {
  const settings = await readSettings(client, run);
  if (settings === undefined) {
    return [
      {
        code: 'REDIS_SETTINGS_HIDDEN',
        severity: 'note',
        message: `${shownAddress(client.server)} does not show its settings to this user, so that they are not checked`,
        hint: 'Have them checked once by a user that may CONFIG GET.',
      },
    ];
  }
  return SETTING_CHECKS.flatMap((check) => check(settings) ?? []);
}

type Settings = ReadonlyMap<string, string>;

async function readSettings(client: Master['client'], run: Run): Promise<Settings | undefined> {
  try {
    const reply = await client.call(['CONFIG', 'GET', ...SETTINGS], run);
    const words = itemsOf(reply).map(textOf);
    return new Map(words.flatMap((word, index) => (index % 2 === 0 ? [[word, words[index + 1] ?? '']] : [])));
  } catch (error) {
    if (isTidemarkError(error) && error.cause instanceof ErrorReply) return undefined;
    throw error;
  }
}

const SETTING_CHECKS: readonly ((settings: Settings) => Finding | undefined)[] = [
  outputBufferFinding,
  (settings) => {
    const policy = settings.get('maxmemory-policy') ?? 'noeviction';
    if ((settings.get('maxmemory') ?? '0') === '0' || policy === 'noeviction') return undefined;
    return {
      code: 'REDIS_EVICTS',
      severity: 'note',
      message: `the server drops keys when its memory is full (maxmemory-policy ${policy}); that is recorded as any other deletion`,
      hint: 'Nothing to do where the store is a cache; else give it memory, or maxmemory-policy noeviction.',
    };
  },
  (settings) => {
    if (settings.get('save') !== '' || settings.get('appendonly') !== 'no') return undefined;
    return {
      code: 'REDIS_NOT_PERSISTENT',
      severity: 'note',
      message: 'the server keeps nothing on disk: when it is restarted it is empty, and its history begins anew',
      hint: 'Switch on appendonly, or have a replica that takes over.',
    };
  },
  (settings) => {
    if ((settings.get('min-replicas-to-write') ?? '0') === '0') return undefined;
    return {
      code: 'REDIS_COUNTS_RECORDER',
      severity: 'note',
      message: 'the server demands replicas before it writes (min-replicas-to-write), and counts the recorder as one',
      hint: 'Raise min-replicas-to-write by one.',
    };
  },
  (settings) => {
    if (settings.get('repl-diskless-sync') !== 'no') return undefined;
    return {
      code: 'REDIS_DISK_SYNC',
      severity: 'note',
      message: 'the server writes each base to its own disk before it sends it (repl-diskless-sync no)',
      hint: 'CONFIG SET repl-diskless-sync yes spares its disk.',
    };
  },
];

const LEAST_BUFFER_BYTES = 64 * 2 ** 20;

function outputBufferFinding(settings: Settings): Finding | undefined {
  const [, hard = '0', soft = '0', seconds = '0'] =
    /(?:slave|replica) (\d+) (\d+) (\d+)/.exec(settings.get('client-output-buffer-limit') ?? '') ?? [];
  const limits = [hard, soft].map(Number).filter((bytes) => bytes > 0);
  if (limits.length === 0 || Math.min(...limits) >= LEAST_BUFFER_BYTES) return undefined;
  return {
    code: 'REDIS_OUTPUT_BUFFER_SMALL',
    severity: 'warning',
    message: `the server cuts replicas off early (client-output-buffer-limit replica ${hard} ${soft} ${seconds}): under load a base may never end`,
    hint: 'CONFIG SET client-output-buffer-limit "replica 256mb 64mb 60", or more.',
  };
}
