import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTidemarkError } from '../../../core/errors.ts';
import { chooseProgram } from './chosen.ts';

test('what a server gave is loaded by one of its maker, or else by one of the other', () => {
  const both = ['/usr/bin/redis-server', '/usr/local/bin/valkey-server'];
  const chosen = (rdb: string, installed: readonly string[]): string =>
    chooseProgram(rdb, (path) => installed.includes(path));
  assert.equal(chosen('REDIS0011', both), '/usr/bin/redis-server');
  assert.equal(chosen('VALKEY', both), '/usr/local/bin/valkey-server');
  for (const program of both) {
    for (const rdb of ['REDIS0', 'VALKEY']) assert.equal(chosen(rdb, [program]), program);
  }
  for (const [rdb, name] of [
    ['REDIS0', 'redis-server'],
    ['VALKEY', 'valkey-server'],
  ] as const) {
    const isTold = (error: unknown): boolean => isTidemarkError(error, 'UNSUPPORTED') && error.message.includes(name);
    assert.throws(() => chosen(rdb, []), isTold);
  }
});
