import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTidemarkError } from '../../../src/core/errors.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { needs } from '../../servers/needs.ts';
import { startRedis } from '../../servers/redis.ts';
import { needsValkey, valkeyServer } from '../../servers/valkey.ts';
import { record } from './captured.ts';
import { restore } from './restoring.ts';

const client = needs('redis-server', 'redis-cli');
const options = { ...(client.skip === false ? needsValkey() : client), timeout: 60_000 };

for (const [what, { only, hasLog, told }] of Object.entries({
  whole: { only: undefined, hasLog: true, told: /takes values of RDB version \d+, and these are of version \d+$/ },
  'in part, from the base alone': {
    only: ['a*'],
    hasLog: false,
    told: /takes values of RDB version \d+, and these are of version \d+$/,
  },
  'in part, with its log': {
    only: ['a*'],
    hasLog: true,
    told: /^a part of the keys can be restored only where there is a valkey-server, and this host has none$/,
  },
})) {
  test(
    `what Valkey 9 gave, restored ${what} into an older server, is refused in a line, and that is as it was`,
    options,
    async () => {
      await using source = await startRedis({ program: await valkeyServer() });
      await using target = await startRedis();
      await using folder = temporaryFolder();
      await source.script(['SET a 1', 'HSET ah f 1 g 2', 'HPEXPIRE ah 600000 FIELDS 1 f', 'SELECT 2', 'SET b 1']);
      await target.script(['SET a live', 'SET mine live']);
      await using recording = await record(source);
      if (hasLog) await source.script(['INCR a', 'HPEXPIRE ah 900000 FIELDS 1 f']);
      const to = await recording.position();
      const context = { replace: true, ...(only === undefined ? {} : { only }) };
      await assert.rejects(
        restore(target, { recording, to, workFolder: folder.at('work'), context }),
        (error) => isTidemarkError(error, 'UNSUPPORTED') && told.test(error.message) && error.hint !== undefined,
      );
      assert.equal(await target.script(['GET a', 'GET mine', 'DBSIZE']), 'live\nlive\n2');
    },
  );
}
