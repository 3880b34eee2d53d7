import assert from 'node:assert/strict';
import { test } from 'node:test';
import { moveWordsOf } from './slot-moves.ts';

test('only Valkey 9 and Redis 8.4, and what is newer, have words for slots that move at once', () => {
  const words = (name: string, version: string) =>
    moveWordsOf(
      new Map([...(name === 'valkey_version' ? [['redis_version', '7.2.4'] as const] : []), [name, version]]),
    );
  for (const version of ['9.0.0', '9.1.2', '10.0.0']) assert.equal(words('valkey_version', version), 'valkey');
  for (const version of ['8.4.0', '8.10.1', '9.0.0']) assert.equal(words('redis_version', version), 'redis');
  assert.equal(words('valkey_version', '8.1.3'), undefined);
  for (const version of ['7.0.15', '8.2.0', '']) assert.equal(words('redis_version', version), undefined);
  assert.equal(moveWordsOf(new Map()), undefined);
});
