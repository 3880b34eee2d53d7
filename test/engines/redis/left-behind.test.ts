import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listOf, markId, objectOf, openShop } from '../../e2e/shop.ts';
import type { Shop } from '../../e2e/shop.ts';
import { waitUntil } from '../../servers/guarded.ts';
import { needs } from '../../servers/needs.ts';
import { startProxy } from '../../servers/proxy.ts';
import { promote, startRedis, untilSynchronised } from '../../servers/redis.ts';
import { forever, runtime } from './recording.ts';

const options = { ...needs('redis-server', 'redis-cli'), timeout: 120_000 };

type Command = ReturnType<Shop['ok']>;

async function ended(shop: Shop, args: readonly string[]): Promise<Command> {
  const { status, err, json } = await shop.start(args).ended;
  assert.equal(status, 0, `tidemark ${args.join(' ')}: ${err}`);
  return json;
}

/** A complete mark, and when it was taken. */
async function untilMarked(shop: Shop): Promise<{ readonly id: string; readonly atMs: number }> {
  let json: Command = {};
  await waitUntil('a mark is complete', async () => {
    json = await ended(shop, ['mark']);
    return objectOf(json, 'mark')['state'] === 'complete';
  });
  return { id: markId(json), atMs: Date.parse(String(objectOf(json, 'mark')['at'])) };
}

const textOf = (atMs: number): string => new Date(atMs).toISOString();

for (const isRestarted of [false, true]) {
  const when = isRestarted ? 'by an up that has just begun' : 'by the up that recorded it';
  test(
    `where a replica took over that had less, the gap begins there and not where it was noticed: told ${when}`,
    options,
    async () => {
      await using master = await startRedis();
      await using replica = await startRedis({ replicaOf: master });
      await using proxy = await startProxy({ toPort: master.port });
      await using shop = await openShop({
        manifest: `application: shop\nrepository: ./backups\nmarks: { every: 1h }\nstores:\n  cache: redis://127.0.0.1:${proxy.port}\n`,
      });
      let up = shop.start(['up']);
      await waitUntil('it is recorded', async () => {
        return listOf(await ended(shop, ['status']), 'stores')[0]?.['state'] === 'recording';
      });
      await master.call('set', 'step', 'both');
      await untilSynchronised(replica);
      const both = await untilMarked(shop);
      await runtime.clock.sleep(1_500, forever);
      await promote(replica);
      const partedMs = runtime.clock.nowMs();
      await master.call('set', 'step', 'left behind');
      const leftBehind = await untilMarked(shop);
      await runtime.clock.sleep(1_500, forever);
      await master.call('set', 'step', 'left behind for long');
      await replica.call('set', 'step', 'went on');
      if (isRestarted) {
        up.child.kill('SIGINT');
        await up.ended;
      }
      proxy.leadTo(replica.port);
      proxy.cut();
      if (isRestarted) up = shop.start(['up']);
      const wentOn = await untilMarked(shop);
      up.child.kill('SIGINT');
      const { status, err } = await up.ended;
      assert.equal(status, 3, err);
      assert.match(err, /^cache: a gap since .*became master at/m);

      const [store] = listOf(shop.run(['timeline']).json, 'stores');
      const [gap] = listOf(store ?? {}, 'gaps');
      const [fromMs, toMs] = [Date.parse(String(gap?.['from'])), Date.parse(String(gap?.['to']))];
      assert.ok(
        both.atMs <= fromMs && fromMs <= partedMs + 1_000,
        `${JSON.stringify(gap)}, parted ${textOf(partedMs)}`,
      );
      assert.ok(leftBehind.atMs < toMs && toMs <= wentOn.atMs, JSON.stringify(gap));

      const covers = async (atMs: number): Promise<unknown> => {
        const plan = await ended(shop, ['plan', '--to', textOf(atMs), '--per-store', '--into', shop.at('out')]);
        return objectOf(listOf(plan, 'stores')[0] ?? {}, 'nearest')['covered'];
      };
      assert.equal(await covers(both.atMs), true);
      assert.equal(await covers(leftBehind.atMs + 500), false);
      // What was recorded of the one that was left is there for who wants it.
      await ended(shop, ['plan', '--to', leftBehind.id, '--into', shop.at('out')]);
    },
  );
}
