import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTidemarkError } from '../../core/errors.ts';
import { check, keys } from '../../core/option-schema.ts';
import { redisOptions } from './options.ts';
import { parseTarget, placeAt, resolvePlace, shownAddress } from './place.ts';

function resolve(scheme: string, target: string, written: Readonly<Record<string, unknown>> = {}) {
  const { value: options = {}, mistakes } = check(keys(redisOptions), written);
  assert.deepEqual(mistakes, []);
  const password = async (): Promise<undefined> => undefined;
  return resolvePlace({ scheme, target, password, via: [], options, leaveOut: [] });
}

test('a URL names host, port, user and database', () => {
  assert.deepEqual(parseTarget('redis', '//cache'), {
    host: 'cache',
    port: 6379,
    user: undefined,
    database: undefined,
  });
  assert.deepEqual(parseTarget('redis', '//back%40up@10.0.0.1:7000/3'), {
    host: '10.0.0.1',
    port: 7000,
    user: 'back@up',
    database: 3,
  });
  const { host, port } = parseTarget('rediss', '//[::1]:6380/');
  assert.equal(shownAddress({ host, port }), '[::1]:6380');
});

test('a password in a URL is refused and not repeated', () => {
  for (const target of ['//user:geheim@cache:6379', '//:geheim@cache', '//a:geheim@b:c:d']) {
    assert.throws(
      () => parseTarget('redis', target),
      (error) => isTidemarkError(error, 'CONFIG_INVALID') && !`${error.message} ${error.hint}`.includes('geheim'),
    );
  }
});

test('what is no server is refused', () => {
  for (const target of [
    '',
    '//',
    'cache:6379',
    '//cache:0',
    '//cache:99999',
    '//cache:x',
    '//cache/a',
    '//a b',
    '//::1',
  ]) {
    assert.throws(
      () => parseTarget('redis', target),
      (error) => isTidemarkError(error, 'CONFIG_INVALID'),
      target,
    );
  }
});

test('what changes nothing is told', () => {
  assert.equal(resolve('redis', '//cache').warnings.length, 0);
  assert.match(resolve('redis', '//cache/3').warnings.join(), /database 3 .* changes nothing/);
  assert.match(resolve('redis', '//cache', { caFile: '/ca.pem' }).warnings.join(), /TLS settings change nothing/);
});

test('the host of the URL is the name that Sentinel knows, unless one is given', () => {
  const sentinels = ['one:1', '[::2]', 'three'];
  const { sentinel } = resolve('rediss', '//mymaster', { sentinels }).options;
  assert.deepEqual(sentinel, {
    masterName: 'mymaster',
    addresses: [
      { host: 'one', port: 1 },
      { host: '::2', port: 26379 },
      { host: 'three', port: 26379 },
    ],
  });
  assert.equal(resolve('rediss', '//x', { sentinels, masterName: 'm' }).options.sentinel?.masterName, 'm');
});

test('a certificate without its key is refused', () => {
  assert.throws(
    () => resolve('rediss', '//cache', { certFile: '/c.pem' }),
    (error) => isTidemarkError(error, 'CONFIG_INVALID'),
  );
});

test('where a restore leads has the settings of the store, but for the address', () => {
  const { options } = resolve('rediss', '//backup@cache', {
    caFile: '/ca.pem',
    sentinels: ['one'],
    expiry: 'absolute',
    serverName: 'cache.internal',
  });
  const { host, user, tls, sentinel, expiry } = placeAt(options, 'rediss://other:1');
  assert.deepEqual([host, user, tls?.caFile, sentinel, expiry], ['other', 'backup', '/ca.pem', undefined, 'absolute']);
  assert.equal(placeAt(options, 'redis://me@other').user, 'me');
  assert.throws(
    () => placeAt(options, '/a/folder'),
    (error) => isTidemarkError(error, 'USAGE'),
  );
});

test('the password goes unasked only to the store’s own server, or for a user that is named', () => {
  const { options } = resolve('rediss', '//backup@cache', { serverName: 'cache.internal' });
  for (const [url, login, serverName] of [
    ['rediss://cache', undefined, 'cache.internal'],
    ['rediss://cache:7000', 'whenAsked', 'cache.internal'],
    ['rediss://other', 'whenAsked', undefined],
    ['rediss://me@other', undefined, undefined],
  ] as const) {
    const place = placeAt(options, url);
    assert.deepEqual([place.login, place.tls?.serverName], [login, serverName], url);
  }
});
