import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTidemarkError } from '../../../core/errors.ts';
import { chooseProgram } from './chosen.ts';

test('what a server gave is loaded by one of its maker, or by Valkey, which knows what Redis gave', () => {
  const both = ['/usr/bin/redis-server', '/usr/local/bin/valkey-server'];
  const chosen = (rdb: string, installed: readonly string[]): string =>
    chooseProgram(rdb, (path) => installed.includes(path));
  assert.equal(chosen('REDIS0011', both), '/usr/bin/redis-server');
  assert.equal(chosen('VALKEY', both), '/usr/local/bin/valkey-server');
  for (const program of both) assert.equal(chosen('REDIS0', [program]), program);
  for (const [rdb, name, installed] of [
    ['REDIS0', 'redis-server', []],
    ['VALKEY', 'valkey-server', ['/usr/bin/redis-server']],
  ] as const) {
    const isTold = (error: unknown): boolean => isTidemarkError(error, 'UNSUPPORTED') && error.message.includes(name);
    assert.throws(() => chosen(rdb, installed), isTold);
  }
});
