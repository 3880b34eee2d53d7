import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTidemarkError } from '../../core/errors.ts';
import { createSeededRandom } from '../../flow/random.ts';
import { ErrorReply } from './errors.ts';
import { encodeCommand, ReplyParser } from './resp.ts';
import type { Reply } from './resp.ts';

const LIMITS = { mostBytes: 1_000_000, mostItems: 1_000 };

function parse(text: string | Buffer, cut: (left: number) => number = (left) => left): readonly Reply[] {
  const parser = new ReplyParser(LIMITS);
  const bytes = Buffer.from(text);
  const replies: Reply[] = [];
  for (let at = 0; at < bytes.byteLength; ) {
    const sizeBytes = cut(bytes.byteLength - at);
    replies.push(...parser.push(bytes.subarray(at, at + sizeBytes)));
    at += sizeBytes;
  }
  return replies;
}

test('every kind of reply of RESP2 and RESP3 is read', () => {
  assert.deepEqual(parse('+OK\r\n:42\r\n:-1\r\n:9223372036854775807\r\n$-1\r\n*-1\r\n_\r\n'), [
    'OK',
    42,
    -1,
    9_223_372_036_854_775_807n,
    null,
    null,
    null,
  ]);
  assert.deepEqual(parse('$5\r\na\r\nbc\r\n$0\r\n\r\n=8\r\ntxt:some\r\n'), [
    Buffer.from('a\r\nbc'),
    Buffer.alloc(0),
    Buffer.from('some'),
  ]);
  assert.deepEqual(parse('*3\r\n:1\r\n*2\r\n+a\r\n*0\r\n$1\r\nb\r\n'), [[1, ['a', []], Buffer.from('b')]]);
  assert.deepEqual(parse('%1\r\n+k\r\n:1\r\n~1\r\n#t\r\n,1.5\r\n,-inf\r\n(12345678901234567890\r\n'), [
    ['k', 1],
    [true],
    1.5,
    -Infinity,
    12_345_678_901_234_567_890n,
  ]);
});

test('an error is a reply, whose first word is its kind', () => {
  const [plain, long] = parse('-NOPERM no permission\r\n!10\r\nERR is bad\r\n');
  assert.ok(plain instanceof ErrorReply && long instanceof ErrorReply);
  assert.deepEqual([plain.kind, plain.message, long.kind], ['NOPERM', 'NOPERM no permission', 'ERR']);
});

test('what is told about a reply is left out', () => {
  assert.deepEqual(parse('|1\r\n+ttl\r\n:3\r\n*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n:2\r\n'), [[1, 2]]);
});

test('replies come out the same in whatever pieces they come', () => {
  for (let seed = 0; seed < 200; seed++) {
    const random = createSeededRandom(`resp ${seed}`);
    const replies = Array.from({ length: 20 }, () => Buffer.from(random.bytes(random.integer(300))));
    const wire = Buffer.concat(
      replies.map((bytes, index) =>
        Buffer.concat([
          index % 3 === 0 ? Buffer.from('*2\r\n:7\r\n') : Buffer.alloc(0),
          Buffer.from(`$${bytes.byteLength}\r\n`),
          bytes,
          Buffer.from('\r\n'),
        ]),
      ),
    );
    const expected = replies.map((bytes, index) => (index % 3 === 0 ? [7, bytes] : bytes));
    assert.deepEqual(
      parse(wire, (left) => 1 + random.integer(Math.min(left, 40))),
      expected,
      `seed ${seed}`,
    );
  }
});

test('what is no reply, or too large, is refused before it is held', () => {
  const wrong = [
    'HTTP/1.1 400\r\n',
    '$1000001\r\n',
    '*1001\r\n',
    '$x\r\n',
    ':1.5\r\n',
    '$1\r\nabc',
    '*1\r\n'.repeat(20),
    '+'.padEnd(70_000, 'x'),
  ];
  for (const text of wrong) {
    assert.throws(
      () => parse(text),
      (error) => isTidemarkError(error, 'STORE_UNREACHABLE'),
      text.slice(0, 20),
    );
  }
});

test('a large reply in many pieces is put together once', () => {
  const parser = new ReplyParser(LIMITS);
  const big = Buffer.alloc(900_000, 'x');
  const wire = Buffer.concat([Buffer.from('$900000\r\n'), big, Buffer.from('\r\n+OK\r\n')]);
  const replies: Reply[] = [];
  for (let at = 0; at < wire.byteLength; at += 100) replies.push(...parser.push(wire.subarray(at, at + 100)));
  assert.deepEqual(replies, [big, 'OK']);
});

test('a command is an array of bytes, whatever they are', () => {
  const text = encodeCommand(['SET', Buffer.from([0, 13, 10]), 'ö']).toString('latin1');
  assert.equal(text, '*3\r\n$3\r\nSET\r\n$3\r\n\0\r\n\r\n$2\r\n\xc3\xb6\r\n');
});
