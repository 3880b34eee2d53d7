import { redisConnector } from '../../../src/connectors/redis/connector.ts';
import { openRedisRestorer } from '../../../src/connectors/redis/restorer.ts';
import { openClient } from '../../../src/connectors/redis/resp-client.ts';
import { registerRecorderSuite } from '../../../src/testing/recorder-suite.ts';
import type { RecorderFixture } from '../../../src/testing/recorder-suite.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { makeCertificates } from '../../servers/certificates.ts';
import type { Certificates } from '../../servers/certificates.ts';
import { startRedisCluster } from '../../servers/redis-cluster.ts';
import { startRedis } from '../../servers/redis.ts';
import type { RedisOptions } from '../../servers/redis.ts';
import { ClusterClient, urlOf } from './cluster.ts';
import { forever, openAt, placeOfUrl, readAll, runtime, startWith } from './recording.ts';

async function fixture(
  options: RedisOptions,
  certificates?: Certificates,
  source: 'psync' | 'scan' = 'psync',
): Promise<RecorderFixture> {
  await using opened = new AsyncDisposableStack();
  if (certificates !== undefined) opened.use(certificates);
  const server = opened.use(await startRedis(options));
  const place = placeOfUrl(server.url, { caFile: certificates?.ca, password: options.password, source });
  const client = opened.use(await openClient(place, forever));
  const held = opened.move();
  return {
    open: (previous) => openAt(place, { previous }),
    async put(key, value) {
      await client.call(value === undefined ? ['DEL', key] : ['SET', key, value], forever);
    },
    async restored(base, run) {
      await using loaded = await startWith(base, run);
      return await readAll(loaded.server.url);
    },
    [Symbol.asyncDispose]: () => held[Symbol.asyncDispose](),
  };
}

const connector = redisConnector;
const traits = { exact: 'position', recognizes: false } as const;

registerRecorderSuite({ name: 'redis, diskless', traits, connector, open: () => fixture({}) });
registerRecorderSuite({
  name: 'redis, by a file of the server',
  traits,
  connector,
  open: () => fixture({ transfer: 'disk' }),
});
registerRecorderSuite({
  name: 'redis, by TLS with a password',
  traits,
  connector,
  async open() {
    const certificates = await makeCertificates();
    return await fixture({ password: 'geheim', tls: { certificates } }, certificates);
  },
});

registerRecorderSuite({
  name: 'redis, key by key',
  traits: { exact: 'observation', recognizes: false },
  connector,
  open: () => fixture({}, undefined, 'scan'),
});

registerRecorderSuite({
  name: 'redis, a cluster',
  traits,
  connector,
  async open() {
    await using opened = new AsyncDisposableStack();
    const cluster = opened.use(await startRedisCluster({ masters: 2 }));
    const client = opened.use(new ClusterClient(cluster));
    await client.refresh();
    const held = opened.move();
    return {
      open: (previous) => openAt(placeOfUrl(urlOf(cluster)), { previous }),
      async put(key, value) {
        await client.run(key, [value === undefined ? ['DEL', `{${key}}`] : ['SET', `{${key}}`, value]]);
      },
      async restored(base, run) {
        await using single = await startRedis();
        await using folder = temporaryFolder();
        const context = { runtime, id: 'abc', workFolder: folder.at('work') };
        await using restorer = openRedisRestorer(placeOfUrl(single.url), context);
        await restorer.restoreBase(base, run);
        await restorer.verify(run);
        await restorer.swap(run);
        return new Map([...(await readAll(single.url))].map(([key, value]) => [key.slice(1, -1), value]));
      },
      [Symbol.asyncDispose]: () => held[Symbol.asyncDispose](),
    };
  },
});
