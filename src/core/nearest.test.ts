import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearest } from './nearest.ts';

test('a slip is recognised, and the nearest of several wins', () => {
  const known = ['passwordFile', 'passwordEnv', 'exclude', 'include', 'url'];
  assert.equal(nearest('passwrodFile', known), 'passwordFile');
  assert.equal(nearest('PASSWORDENV', known), 'passwordEnv');
  assert.equal(nearest('inclde', known), 'include');
  assert.equal(nearest('ulr', known), 'url');
});

test('what is nothing like any of them gets no suggestion', () => {
  assert.equal(nearest('frequency', ['exclude', 'url']), undefined);
  assert.equal(nearest('', ['exclude', 'url']), undefined);
  assert.equal(nearest('x'.repeat(100_000), ['exclude']), undefined);
});
