import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  byName,
  check,
  choice,
  convertedText,
  flag,
  keys,
  list,
  optional,
  required,
  secretKeys,
  text,
  wholeNumber,
  withDefault,
  Wrong,
} from './option-schema.ts';
import type { OptionType } from './option-schema.ts';

const word = text({ expects: 'a word', pattern: /^[a-z]+$/ });
const server = keys({
  host: required(word, 'Where it is.'),
  port: withDefault(wholeNumber(1, 65_535), 443, 'Where it listens.'),
  token: optional(text({ expects: 'a token', pattern: /^t-/, secret: true }), 'What opens it.'),
  passwordFile: optional(text({ expects: 'a path', secret: true }), 'What opens it.'),
  tags: withDefault(list(word, { expects: 'a list of words', most: 3 }), [], 'What it is called.'),
  parts: withDefault(byName(flag(), { expects: 'names', name: word }), {}, 'What it has.'),
});

function messages(type: OptionType<unknown>, value: unknown): readonly string[] {
  return check(type, value).mistakes.map(({ path, at, message }) => `${path.join('.')} (${at}) ${message}`);
}

test('a value comes out complete and converted', () => {
  const seconds = convertedText({ expects: 'seconds' }, (written) => Number(written));
  const shape = keys({ server: required(server, ''), after: withDefault(seconds, '10', '') });
  assert.deepEqual(check(shape, { server: { host: 'db', parts: { a: true } } }).value, {
    server: { host: 'db', port: 443, token: undefined, passwordFile: undefined, tags: [], parts: { a: true } },
    after: 10,
  });
});

test('every mistake is reported, with what was expected and what was found', () => {
  assert.deepEqual(messages(server, { port: 0, tags: ['a', 5, 'B'], parts: { 'x y': true, z: 'yes' }, hots: 'db' }), [
    'hots (key) unknown key; did you mean host?',
    'host (key) missing; expected a word',
    'port (value) expected a whole number from 1 to 65535, found 0',
    'tags.1 (value) expected a word, found 5',
    'tags.2 (value) expected a word, found "B"',
    'parts.x y (key) expected a word',
    'parts.z (value) expected true or false, found "yes"',
  ]);
  assert.deepEqual(messages(server, 'db'), [' (value) expected keys and values, found "db"']);
  assert.deepEqual(messages(list(word, { expects: 'words', least: 1 }), []), [
    ' (value) expected words, found an empty list',
  ]);
  assert.deepEqual(messages(choice(['a', 'b']), null), [' (value) expected one of a, b, found nothing']);
  assert.deepEqual(messages(wholeNumber(0, 5), Number.NaN), [
    ' (value) expected a whole number from 0 to 5, found null',
  ]);
});

test('a conversion can say in its own words what is wrong', () => {
  const even = convertedText({ expects: 'an even number' }, (written) =>
    Number(written) % 2 === 0 ? Number(written) : new Wrong('it is odd'),
  );
  assert.deepEqual(messages(even, '3'), [' (value) it is odd']);
  assert.equal(check(even, '0').value, 0);
});

test('a secret is in no message, and its source is offered where it stands itself', () => {
  assert.deepEqual(messages(server, { host: 'db', token: 'hunter2', password: 'hunter2' }), [
    'password (key) a secret is never in the manifest; use passwordFile to say where it is',
    'token (value) expected a token, found other text',
  ]);
  assert.deepEqual(secretKeys(server.options), ['token', 'passwordFile']);
});

test('keys of later versions are said to be missing, and an open object takes any', () => {
  assert.deepEqual(messages(keys({ a: optional(word, '') }, { later: ['seal'] }), { seal: 1 }), [
    'seal (key) not in this version',
  ]);
  assert.deepEqual(messages(keys({ a: optional(word, '') }, { open: true }), { anything: 1 }), []);
});

test('names that every object has are keys like any other', () => {
  assert.deepEqual(messages(server, { host: 'db', constructor: 'x', toString: 'y' }).length, 2);
  const names = byName(word, { expects: 'names', name: word });
  assert.deepEqual(check(names, { constructor: 'a' }).value, { constructor: 'a' });
});

test('the JSON Schema says the same', () => {
  assert.deepEqual(server.jsonSchema, {
    type: 'object',
    properties: {
      host: { type: 'string', pattern: '^[a-z]+$', description: 'Where it is.' },
      port: { type: 'integer', minimum: 1, maximum: 65_535, description: 'Where it listens.', default: 443 },
      token: { type: 'string', pattern: '^t-', description: 'What opens it.' },
      passwordFile: { type: 'string', description: 'What opens it.' },
      tags: {
        type: 'array',
        items: { type: 'string', pattern: '^[a-z]+$' },
        description: 'What it is called.',
        default: [],
      },
      parts: {
        type: 'object',
        propertyNames: { type: 'string', pattern: '^[a-z]+$' },
        additionalProperties: { type: 'boolean' },
        description: 'What it has.',
        default: {},
      },
    },
    required: ['host'],
    additionalProperties: false,
  });
});
