import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runPgbench, runRedisBenchmark, startFilledRedis, startPgbench, touchPages } from '../../bench/servers.ts';
import { needs } from '../servers/needs.ts';

test(
  'a database of pgbench has the size that was asked for, and the pages that are touched are counted',
  needs('postgres', 'pgbench'),
  async () => {
    const sizeBytes = 100_000_000;
    await using server = await startPgbench({ sizeBytes });
    const size = Number(await server.value("SELECT pg_total_relation_size('pgbench_accounts')"));
    assert.ok(Math.abs(size / sizeBytes - 1) < 0.15, String(size));
    const pages = size / 8192;
    const { changedPages } = await touchPages(server, 0.02, 7);
    assert.ok(changedPages > pages * 0.01 && changedPages < pages * 0.05, `${changedPages} of ${pages}`);
    const { transactionsPerSecond, meanLatencyMs } = await runPgbench(server, { clients: 2, seconds: 1 });
    assert.ok(transactionsPerSecond > 0 && meanLatencyMs > 0);
  },
);

test(
  'a filled Redis has the size that was asked for and all types',
  needs('redis-server', 'redis-cli', 'redis-benchmark'),
  async () => {
    const sizeBytes = 20_000_000;
    await using server = await startFilledRedis({ sizeBytes });
    const used = Number((await server.info('memory'))['used_memory_dataset']);
    assert.ok(used > sizeBytes * 0.8 && used < sizeBytes * 1.5, String(used));
    for (const type of ['string', 'hash', 'list', 'set', 'zset', 'stream']) {
      const [, ...keys] = (await server.call('scan', '0', 'count', '100000', 'type', type)).split('\n');
      assert.ok(keys.length > 10, type);
    }
    assert.ok((await runRedisBenchmark(server, { requests: 10_000 })) > 0);
  },
);
