import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTidemarkError } from '../../core/errors.ts';
import { parseServerUrl, placeName } from './place.ts';

test('a URL says where the server is, who asks, and how it proves itself', () => {
  assert.deepEqual(parseServerUrl('//backup@db1:5433/orders'), {
    addresses: [{ host: 'db1', port: 5433 }],
    user: 'backup',
    database: 'orders',
    sslMode: 'verify-full',
  });
  assert.deepEqual(parseServerUrl('//localhost'), {
    addresses: [{ host: 'localhost', port: 5432 }],
    user: 'postgres',
    database: 'postgres',
    sslMode: 'disable',
  });
  assert.deepEqual(parseServerUrl('//a%40b@[::1]:6000/x%2Fy?sslmode=require'), {
    addresses: [{ host: '::1', port: 6000 }],
    user: 'a@b',
    database: 'x/y',
    sslMode: 'require',
  });
});

test('several addresses are tried in turn; one that is not of this host asks for a certificate', () => {
  const { addresses, sslMode } = parseServerUrl('//me@127.0.0.1:1,db2/x');
  assert.deepEqual(addresses, [
    { host: '127.0.0.1', port: 1 },
    { host: 'db2', port: 5432 },
  ]);
  assert.equal(sslMode, 'verify-full');
});

test('a socket is named by its folder', () => {
  const url = parseServerUrl('//me@/x?host=/run/postgresql');
  assert.deepEqual(url.addresses, [{ host: '/run/postgresql', port: 5432 }]);
  assert.equal(url.sslMode, 'disable');
  assert.deepEqual(parseServerUrl('//me@%2Frun%2Fpostgresql/x').addresses, url.addresses);
  const other = [{ host: '/run/postgresql', port: 5433 }];
  assert.deepEqual(parseServerUrl('//me@/x?host=/run/postgresql&port=5433').addresses, other);
  assert.deepEqual(parseServerUrl('//me@%2Frun%2Fpostgresql:5433/x').addresses, other);
});

test('ports that are named apart are those of the hosts that name none', () => {
  const portsOf = (target: string) => parseServerUrl(target).addresses.map(({ port }) => port);
  assert.deepEqual(portsOf('//a,b:2/x?port=1'), [1, 2]);
  assert.deepEqual(portsOf('//a,b/x?port=1,2'), [1, 2]);
  assert.deepEqual(portsOf('//a/x?port='), [5432]);
});

test('a password in the URL is refused, and not repeated', () => {
  for (const target of ['//me:hunter2@db/x', '//:hunter2@db', '//me:hunter2@db:99999/x', '//me:hunter2@[db/x']) {
    assert.throws(
      () => parseServerUrl(target),
      (error) => isTidemarkError(error, 'CONFIG_INVALID') && !`${error.message} ${error.hint}`.includes('hunter2'),
    );
  }
});

test('what is no URL of a server is refused', () => {
  const wrong = [
    'db/x',
    '//db:0/x',
    '//db:99999',
    '//db:x',
    '//a b:1:2/x',
    '//db?sslmode=prefer',
    '//db?ssl=on',
    '//db?port=0',
    '//db?port=1,2',
    '//a,b,c?port=1,2',
    '//db?port=x',
    '//db/%zz',
    '//db?sslmode=require&sslmode=disable',
  ];
  for (const target of wrong) {
    assert.throws(
      () => parseServerUrl(target),
      (error) => isTidemarkError(error, 'CONFIG_INVALID'),
      target,
    );
  }
});

test('people see the servers and the database', () => {
  assert.equal(placeName(parseServerUrl('//me@db1,[::1]:2/x')), 'postgres://db1:5432,[::1]:2/x');
});
