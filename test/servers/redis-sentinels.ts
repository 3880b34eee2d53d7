import { waitUntil } from './guarded.ts';
import { startRedis } from './redis.ts';
import type { RedisOptions, RedisServer } from './redis.ts';

export type SentinelOptions = {
  readonly masterName?: string;
  readonly masterPort: number;
  /** How many there are; most of them must agree. */
  readonly count?: number;
  /** Of the master and its replicas. */
  readonly masterPassword?: string | undefined;
  /** Of the sentinels themselves. */
  readonly password?: string;
  readonly tls?: RedisOptions['tls'];
};

/** Real sentinels on 127.0.0.1, which find a master away after half a second. */
export class Sentinels implements AsyncDisposable {
  readonly masterName: string;
  readonly servers: readonly RedisServer[];

  constructor(masterName: string, servers: readonly RedisServer[]) {
    this.masterName = masterName;
    this.servers = servers;
  }

  get ports(): readonly number[] {
    return this.servers.map(({ port }) => port);
  }

  /** Whom they call the master: the answer of the first that runs. */
  async masterPort(): Promise<number> {
    let failure: unknown;
    for (const server of this.servers) {
      try {
        const [, port] = (await server.call('sentinel', 'get-master-addr-by-name', this.masterName)).split('\n');
        return Number(port);
      } catch (error) {
        failure = error;
      }
    }
    throw new Error('no sentinel answers', { cause: failure });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.servers.map(async (server) => await server[Symbol.asyncDispose]()));
  }
}

/** Resolves when all know of each other and of `replicas` that could take over. */
export async function startSentinels(options: SentinelOptions & { readonly replicas?: number }): Promise<Sentinels> {
  const { masterName = 'shop', masterPort, count = 3, replicas = 1, masterPassword, password, tls } = options;
  const lines = [
    `sentinel monitor ${masterName} 127.0.0.1 ${masterPort} ${Math.floor(count / 2) + 1}`,
    `sentinel down-after-milliseconds ${masterName} 500`,
    `sentinel failover-timeout ${masterName} 1000`,
  ];
  if (masterPassword !== undefined) lines.push(`sentinel auth-pass ${masterName} ${masterPassword}`);
  if (password !== undefined) lines.push(`sentinel sentinel-pass ${password}`);
  const servers: RedisServer[] = [];
  const sentinels = new Sentinels(masterName, servers);
  try {
    for (let index = 0; index < count; index += 1) {
      const own = { ...(password !== undefined && { password }), ...(tls && { tls }) };
      servers.push(await startRedis({ program: 'redis-sentinel', lines, ...own }));
    }
    await waitUntil('the sentinels know each other', async () => {
      const states = await Promise.all(servers.map(async (server) => await stateOf(server, masterName)));
      return states.every((state) => {
        const isComplete =
          Number(state['num-other-sentinels']) === count - 1 && Number(state['num-slaves']) >= replicas;
        return isComplete && state['flags'] === 'master';
      });
    });
  } catch (error) {
    await sentinels[Symbol.asyncDispose]();
    throw error;
  }
  return sentinels;
}

async function stateOf(server: RedisServer, masterName: string): Promise<Readonly<Record<string, string>>> {
  const words = (await server.call('sentinel', 'master', masterName)).split('\n');
  const pairs = words.flatMap((word, index) => (index % 2 === 0 ? [[word, words[index + 1] ?? ''] as const] : []));
  return Object.fromEntries(pairs);
}

/** Has them replace the master while it runs. The port of the new one, once all of them say so and it is one. */
export async function failover(sentinels: Sentinels): Promise<number> {
  const before = await sentinels.masterPort();
  const [first] = sentinels.servers;
  // Right after an earlier one they answer NOGOODSLAVE or INPROG.
  await waitUntil('a failover begins', async () => {
    return (await first?.call('sentinel', 'failover', sentinels.masterName)) === 'OK';
  });
  return await untilFailedOver(sentinels, before);
}

/** The port of the master that has replaced the one at port `before`, such as one that was killed. */
export async function untilFailedOver(sentinels: Sentinels, before: number): Promise<number> {
  const address = ['sentinel', 'get-master-addr-by-name', sentinels.masterName];
  let after = before;
  await waitUntil('the sentinels agree on a new master', async () => {
    const answers = await Promise.all(sentinels.servers.map(async (server) => await server.call(...address)));
    const ports = new Set(answers.map((answer) => Number(answer.split('\n')[1])));
    [after = before] = ports;
    return ports.size === 1 && after !== before;
  });
  return after;
}
