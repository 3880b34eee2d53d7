import { waitUntil } from './guarded.ts';
import { startRedis } from './redis.ts';
import type { RedisOptions, RedisServer } from './redis.ts';

const SLOTS = 16_384;

export type ClusterOptions = {
  readonly masters?: number;
  /** Of each master. */
  readonly replicas?: number;
  readonly args?: readonly string[];
  readonly password?: string;
  /** The path of another server of the kind. */
  readonly program?: string;
  readonly tls?: NonNullable<RedisOptions['tls']>;
  /** Of every node. */
  readonly users?: NonNullable<RedisOptions['users']>;
};

export type ClusterNode = {
  readonly id: string;
  readonly port: number;
  readonly isMaster: boolean;
  /** Of a replica: the id of its master. */
  readonly masterId: string | undefined;
  /** Such as `0-5460`; slots that move are in brackets. */
  readonly slots: readonly string[];
  readonly isAway: boolean;
};

/** A real Redis Cluster on 127.0.0.1. A master that is away is replaced after about two seconds. */
export class RedisCluster implements AsyncDisposable {
  readonly #servers: RedisServer[] = [];
  readonly #options: Partial<RedisOptions>;

  constructor({ args = [], password, program, tls, users = [] }: ClusterOptions) {
    const settings = {
      'cluster-enabled': 'yes',
      'cluster-config-file': 'nodes.conf',
      'cluster-node-timeout': '1000',
      ...(tls && { 'tls-cluster': 'yes' }),
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} ${value}`);
    this.#options = {
      args,
      lines,
      users,
      ...(program !== undefined && { program }),
      ...(password !== undefined && { password }),
      ...(tls && { tls }),
    };
  }

  get servers(): readonly RedisServer[] {
    return this.#servers;
  }

  at(port: number): RedisServer {
    const server = this.#servers.find((one) => one.port === port);
    if (!server) throw new Error(`no node of this cluster has port ${port}`);
    return server;
  }

  /** Starts one more, which belongs to no cluster yet; see `cluster` of a server for `add-node`, `reshard` and the like. */
  async startNode(): Promise<RedisServer> {
    const server = await startRedis(this.#options);
    this.#servers.push(server);
    return server;
  }

  /** As the first that answers sees them. */
  async nodes(): Promise<readonly ClusterNode[]> {
    let failure: unknown;
    for (const server of this.#servers) {
      try {
        return (await server.call('cluster', 'nodes'))
          .split('\n')
          .filter((line) => line !== '')
          .map(parseNode);
      } catch (error) {
        failure = error;
      }
    }
    throw new Error('no node answers', { cause: failure });
  }

  async masters(): Promise<readonly ClusterNode[]> {
    return (await this.nodes()).filter(({ isMaster, isAway }) => isMaster && !isAway);
  }

  /** One command to whichever node has its key. */
  async call(...args: readonly string[]): Promise<string> {
    return (await this.#servers.find(({ isRunning }) => isRunning)?.call('-c', ...args)) ?? '';
  }

  /** Resolves when all nodes that run agree that all slots are served and that nobody is missing. */
  async untilWhole(): Promise<void> {
    await waitUntil('the cluster is whole', async () => {
      // Each question starts a program, and a new node is not ready for two seconds: the first that is not ends the look.
      for (const server of this.#servers.filter(({ isRunning }) => isRunning)) {
        if (!(await server.call('cluster', 'info')).includes('cluster_state:ok')) return false;
        if (/handshake|fail\?/.test(await server.call('cluster', 'nodes'))) return false;
      }
      return true;
    });
  }

  /** Waits until another node has taken over the slots of the master at this port, which was killed. */
  async untilReplaced(port: number): Promise<void> {
    await waitUntil('the master is replaced', async () => {
      const gone = (await this.nodes()).find((node) => node.port === port);
      return gone !== undefined && gone.slots.length === 0;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map(async (server) => await server[Symbol.asyncDispose]()));
  }
}

function parseNode(line: string): ClusterNode {
  const [id = '', address = '', flags = '', masterId = '-', , , , link, ...slots] = line.trim().split(' ');
  const port = Number(/:(\d+)@/.exec(address)?.[1]);
  const isAway = link !== 'connected' || flags.split(',').includes('fail');
  return {
    id,
    port,
    isMaster: flags.includes('master'),
    masterId: masterId === '-' ? undefined : masterId,
    slots,
    isAway,
  };
}

/** As `--cluster create` does, which makes none of less than three. */
async function join(servers: readonly RedisServer[]): Promise<void> {
  const [first] = servers;
  for (const [index, server] of servers.entries()) {
    const [from, to] = [index, index + 1].map((part) => Math.floor((part * SLOTS) / servers.length));
    await server.call('cluster', 'addslotsrange', String(from), String((to ?? 0) - 1));
    await server.call('cluster', 'set-config-epoch', String(index + 1));
    if (first !== undefined && index > 0) await server.call('cluster', 'meet', '127.0.0.1', String(first.port));
  }
}

/** Resolves when all of it serves. Less than three masters have no replicas. */
export async function startRedisCluster(options: ClusterOptions = {}): Promise<RedisCluster> {
  const { masters = 3, replicas = 0 } = options;
  const cluster = new RedisCluster(options);
  try {
    for (let count = masters * (1 + replicas); count > 0; count -= 1) await cluster.startNode();
    if (masters < 3) {
      await join(cluster.servers);
      await cluster.untilWhole();
      return cluster;
    }
    const addresses = cluster.servers.map(({ port }) => `127.0.0.1:${port}`);
    const settings = ['--cluster-replicas', String(replicas), '--cluster-yes'];
    await cluster.servers[0]?.cluster('create', ...addresses, ...settings);
    await cluster.untilWhole();
  } catch (error) {
    await cluster[Symbol.asyncDispose]();
    throw error;
  }
  return cluster;
}
