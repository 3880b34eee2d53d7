import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { holdStore } from '../../../src/connectors/redis/hold.ts';
import { needs } from '../../servers/needs.ts';
import { startRedis } from '../../servers/redis.ts';
import { forever, placeOfUrl, runtime } from './recording.ts';

test(
  'while a server is held it is read and not written, and nothing expires; whoever waited goes on afterwards',
  needs('redis-server'),
  async () => {
    await using server = await startRedis();
    await server.call('SET', 'counter', '1');
    await server.call('SET', 'session', 'x', 'PX', '150');
    let written: Promise<string>;
    {
      await using _held = await holdStore(placeOfUrl(server.url), runtime, forever);
      let isWritten = false;
      written = server.call('INCR', 'counter').then((answer) => {
        isWritten = true;
        return answer;
      });
      await sleep(400);
      assert.deepEqual([await server.call('GET', 'counter'), isWritten], ['1', false]);
      assert.equal(await server.call('DBSIZE'), '2', 'the session is still there, though its time is over');
    }
    assert.equal(await written, '2');
    await using _again = await holdStore(placeOfUrl(server.url), runtime, forever);
  },
);
