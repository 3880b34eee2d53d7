import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RedisPlace } from '../../../src/connectors/redis/place.ts';
import { isTidemarkError } from '../../../src/core/errors.ts';
import { recordInMemory } from '../../../src/testing/tree/memory-base.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { makeCertificates } from '../../servers/certificates.ts';
import { needs } from '../../servers/needs.ts';
import { startRedisCluster } from '../../servers/redis-cluster.ts';
import type { RedisCluster } from '../../servers/redis-cluster.ts';
import { begin, follow, head, restoreInto, urlOf } from './cluster.ts';
import { forever, openAt, placeOfUrl } from './recording.ts';
import type { PlaceOptions } from './recording.ts';

const options = { ...needs('redis-server', 'redis-cli', 'openssl'), timeout: 120_000 };

/** As the guide has them. */
const RECORDER = '+ping +info +psync +replconf +cluster|nodes';
const RESTORER = '~* +ping +info +psync +replconf +@read +@write +@transaction +select +time +function +cluster|nodes';
const USERS = [
  { name: 'backup', password: 'x', rules: RECORDER },
  { name: 'alone', password: 'x', rules: '+ping +info +psync +replconf' },
  { name: 'restorer', password: 'x', rules: RESTORER },
];
const NAMES = Array.from({ length: 12 }, (_, index) => `k${index}`);
const LIBRARY = "#!lua name=answers\nredis.register_function('answer', function() return 42 end)";

function urlAs(user: string, cluster: RedisCluster): string {
  return urlOf(cluster).replace('//', `//${user}@`);
}

async function valuesOf(cluster: RedisCluster): Promise<readonly string[]> {
  const values: string[] = [];
  for (const name of NAMES) values.push(await cluster.call('get', name));
  return values;
}

test(
  'a cluster with TLS is recorded and restored by users who may do no more than the guide asks for',
  options,
  async () => {
    using certificates = await makeCertificates();
    const setup = { tls: { certificates, clients: true }, users: USERS };
    await using cluster = await startRedisCluster(setup);
    await using target = await startRedisCluster({ ...setup, masters: 2 });
    const { ca, wrongCa, client } = certificates;
    const trust: PlaceOptions = { password: 'x', caFile: ca, certFile: client.cert, keyFile: client.key };
    const at = (user: string, more: PlaceOptions = {}): RedisPlace =>
      placeOfUrl(urlAs(user, cluster), { ...trust, ...more });
    for (const [place, why] of [
      [at('backup', { caFile: wrongCa }), /TLS fails/],
      [at('backup', { password: 'y' }), /refuses the password/],
      [at('alone'), /the user alone lacks a permission: .*cluster.* \+cluster\|nodes/],
    ] as const) {
      const isRefused = (error: unknown): boolean =>
        isTidemarkError(error, 'STORE_UNREACHABLE') && why.test(`${error.message} ${error.hint}`);
      await assert.rejects(openAt(place), isRefused, String(why));
    }
    for (const name of NAMES) await cluster.call('set', name, `${name} in the base`);
    for (const server of cluster.servers) await server.call('function', 'load', LIBRARY);
    await using recorder = await openAt(at('backup'));
    const from = await begin(recorder);
    await using followed = await follow(recorder, from);
    const base = await recordInMemory(await recorder.openBase(forever), forever);
    for (const name of NAMES.slice(3)) await cluster.call('append', name, ' and the log');
    const to = await head(recorder);
    await followed.upTo(to);
    const wanted = await valuesOf(cluster);
    const later = await recordInMemory(await recorder.openBase(forever), forever);
    for (const [under, context] of [
      [base, {}],
      [later, { replace: true }],
      [base, { replace: true, only: ['k*'] }],
    ] as const) {
      await using work = temporaryFolder();
      const point = under === base ? to : later.end.cut;
      await followed.upTo(point);
      const restore = { base: under, followed, to: point, workFolder: work.path, context, options: trust };
      await restoreInto(urlAs('restorer', target), restore);
      assert.deepEqual(await valuesOf(target), wanted, JSON.stringify(context));
    }
    assert.match(await target.call('function', 'list'), /answers/);
  },
);
