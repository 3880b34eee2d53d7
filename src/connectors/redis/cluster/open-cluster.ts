import { must } from '../../../core/must.ts';
import type { Clock, Run } from '../../../core/run.ts';
import { ErrorReply, isNotReady, refusal, unreachable } from '../errors.ts';
import { assertVersion, askReplication, findMaster, isOfCluster } from '../link/find-master.ts';
import type { Master } from '../link/find-master.ts';
import { parseInfo, parseReplicationInfo } from '../link/replication-info.ts';
import type { ReplicationInfo } from '../link/replication-info.ts';
import type { Address, RedisPlace, RedisServer } from '../place.ts';
import { openClient } from '../resp-client.ts';
import type { RedisClient } from '../resp-client.ts';
import { encodeCommand, textOf } from '../resp.ts';
import { addressOf, holdingsOf, newestEpoch, parseClusterNodes } from './nodes.ts';
import type { ClusterNode } from './nodes.ts';
import { ownersOf } from './slots.ts';
import type { SlotRange } from './slots.ts';

const READY_MS = 30_000;
const READY_STEP_MS = 250;
/** How often a view is given up for a newer one before it is waited for. */
const MOST_VIEWS = 4;

/** A connection to a master of a cluster, and what it said of itself and of the others then. */
export type ClusterMaster = Master & { readonly id: string; readonly nodes: readonly ClusterNode[] };

/** What a master says of itself. */
export type MasterState = { readonly info: ReplicationInfo; readonly nodes: readonly ClusterNode[] };

export type OpenOptions = {
  readonly clock: Clock;
  /** Nodes that may be asked where that of the URL does not answer. */
  readonly others?: readonly Address[] | undefined;
  readonly silenceMs?: number | undefined;
};

/** All masters of a cluster, by the node in the URL or one of `others`. */
export class Cluster implements AsyncDisposable {
  readonly masters: readonly ClusterMaster[];
  readonly #held: AsyncDisposable;

  constructor(masters: readonly ClusterMaster[], held: AsyncDisposable) {
    this.masters = masters;
    this.#held = held;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#held[Symbol.asyncDispose]();
  }
}

/**
 * Connects to all masters of a cluster; undefined when the server is none of a cluster. Waits half a minute for one that is in the middle of a failover.
 * @throws STORE_UNREACHABLE when it is not whole: a master is away, a slot is nobody's, or nodes do not agree; UNSUPPORTED
 */
export async function openCluster(place: RedisPlace, options: OpenOptions, run: Run): Promise<Cluster | undefined> {
  const { clock } = options;
  const untilMs = clock.monotonicMs() + READY_MS;
  for (;;) {
    try {
      return await openNow(place, options, run);
    } catch (error) {
      if (!isNotReady(error) || clock.monotonicMs() > untilMs) throw error;
      await clock.sleep(READY_STEP_MS, run);
    }
  }
}

type Node = { readonly client: RedisClient; readonly nodes: readonly ClusterNode[]; readonly id: string };

async function openNow(place: RedisPlace, options: OpenOptions, run: Run): Promise<Cluster | undefined> {
  const server = await findMaster(place, run);
  await using opened = new AsyncDisposableStack();
  const open = new Map<string, Node>();
  const openNode = async (address: Address): Promise<Node | undefined> => {
    const client = opened.use(await openClient({ ...server, ...address }, run, options));
    const fields = parseInfo(await client.call(['INFO', 'server'], run));
    assertVersion(client.server, fields);
    if (!isOfCluster(fields)) return undefined;
    const nodes = parseClusterNodes(textOf(await client.call(['CLUSTER', 'NODES'], run)));
    const id = must(
      nodes.find(({ isMyself }) => isMyself),
      'a node knows itself',
    ).id;
    const node = { client, nodes, id };
    open.set(id, node);
    return node;
  };
  const first = await openFirst([server, ...(options.others ?? [])], openNode, run);
  if (first === undefined) return undefined;
  let from = first;
  for (let tries = 1; ; tries += 1) {
    const via = from.client.server;
    const found: Node[] = [];
    for (const node of mastersOf(from.nodes, via)) {
      const address = addressOf(node, via, server.tls !== undefined);
      const reached = open.get(node.id) ?? (await openNode(address));
      if (reached?.id !== node.id) {
        throw notReady(via, `at ${address.host}:${address.port} is another node than it says`);
      }
      if (myself(reached.nodes)?.isMaster === true) found.push(reached);
      // Where a cluster has just been made others take a replica for a master without slots.
      else if (node.slots.length > 0) throw notReady(via, `${address.host}:${address.port} is no master any more`);
    }
    const wanted = holdingsOf(from.nodes);
    const other = found.find(({ nodes }) => holdingsOf(nodes) !== wanted);
    if (other === undefined) {
      const masters = await Promise.all(found.map(async (node) => await masterOf(node, run)));
      assertCovered(masters);
      const held = opened.move();
      return new Cluster(masters, held);
    }
    const isNewer = newestEpoch(other.nodes) > newestEpoch(from.nodes);
    if (!isNewer || tries >= MOST_VIEWS) {
      throw notReady(via, 'the nodes of the cluster do not agree on who has which slots');
    }
    from = other;
  }
}

async function openFirst(
  addresses: readonly Address[],
  openNode: (address: Address) => Promise<Node | undefined>,
  run: Run,
): Promise<Node | undefined> {
  let failure: unknown;
  for (const address of addresses) {
    try {
      return await openNode(address);
    } catch (error) {
      run.signal.throwIfAborted();
      failure ??= error;
    }
  }
  throw failure;
}

/** Also those without slots, which may get some. @throws STORE_UNREACHABLE when one that has some is away */
function mastersOf(nodes: readonly ClusterNode[], via: RedisServer): readonly ClusterNode[] {
  const masters = nodes.filter(({ isMaster, slots, isAway }) => isMaster && (slots.length > 0 || !isAway));
  const away = masters.find(({ isAway }) => isAway);
  if (away !== undefined) {
    throw notReady(via, `the master ${away.host ?? ''}:${away.port} is away, and nobody has taken its place`);
  }
  return masters;
}

async function masterOf({ client, nodes, id }: Node, run: Run): Promise<ClusterMaster> {
  const server = parseInfo(await client.call(['INFO', 'server'], run));
  return { client, nodes, id, server, info: await askReplication(client, run) };
}

function assertCovered(masters: readonly ClusterMaster[]): void {
  const [first] = masters;
  const missing = first === undefined ? 0 : ownersOf(masters.map((master) => slotsOf(master))).indexOf(-1);
  if (first === undefined || missing < 0) return;
  throw notReady(first.client.server, `the slot ${missing} of the cluster is nobody’s`);
}

/** @throws STORE_UNREACHABLE while slots are on their way from one master to another */
export function assertStill(masters: readonly ClusterMaster[]): void {
  for (const { nodes, client } of masters) {
    const self = myself(nodes);
    if (self?.isImporting === true || self?.isMigrating === true) throw moving(client.server);
  }
}

export function moving(server: Address): Error {
  return unreachable(server, 'slots are being moved', {
    hint: 'Wait until the slots of the cluster have moved, or finish a move that was cut off with `redis-cli --cluster fix`.',
  });
}

export function slotsOf({ nodes }: Pick<MasterState, 'nodes'>): readonly SlotRange[] {
  return myself(nodes)?.slots ?? [];
}

export function myself(nodes: readonly ClusterNode[]): ClusterNode | undefined {
  return nodes.find(({ isMyself }) => isMyself);
}

/** What masters say of themselves now, all asked at once. @throws STORE_UNREACHABLE */
export async function askMasters(clients: readonly RedisClient[], run: Run): Promise<readonly MasterState[]> {
  const question = Buffer.concat([encodeCommand(['INFO', 'replication']), encodeCommand(['CLUSTER', 'NODES'])]);
  return await Promise.all(
    clients.map(async (client) => {
      const [replication, nodes] = await client.send({ bytes: question, count: 2 }, run);
      for (const reply of [replication, nodes]) if (reply instanceof ErrorReply) throw refusal(client.server, reply);
      const info = parseReplicationInfo(client.server, replication ?? null);
      return { info, nodes: parseClusterNodes(textOf(nodes)) };
    }),
  );
}

function notReady(server: RedisServer, why: string): Error {
  return unreachable(server, why, {
    disposition: 'retry',
    hint: 'Check with `redis-cli --cluster check` that the cluster is whole; during a failover that takes seconds.',
  });
}
