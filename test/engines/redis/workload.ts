import type { SeededRandom } from '../../../src/flow/random.ts';

type Words = readonly string[];

const LIBRARY = (version: number): string =>
  `#!lua name=work\nredis.register_function('work', function(keys, args) redis.call('INCRBY', keys[1], ${version}) return redis.call('LPUSH', keys[1] .. ':list', args[1]) end)`;

/** Commands of all kinds that leave the server changed, some of them as others, some not at all. Every one of them succeeds. */
export function* workload(random: SeededRandom): Generator<Words, undefined> {
  const key = (kind: string): string => `${kind}:${random.integer(12)}`;
  const text = (): string => Buffer.from(random.bytes(random.integer(40))).toString('hex');
  const simple: readonly (() => Words)[] = [
    () => ['SET', key('s'), text()],
    () => ['SET', key('s'), text(), 'PX', String(1 + random.integer(3))],
    () => ['SET', key('s'), text(), 'EX', String(100 + random.integer(1000))],
    () => ['SET', key('s'), text(), 'KEEPTTL'],
    () => ['SETEX', key('s'), '1000', text()],
    () => ['GETEX', key('s'), 'EX', '700'],
    () => ['GETEX', key('s'), 'PERSIST'],
    () => ['PERSIST', key('s')],
    () => ['PEXPIRE', key('s'), String(random.integer(20))],
    () => ['EXPIRE', key('h'), '5000'],
    () => ['APPEND', key('a'), text()],
    () => ['INCR', key('n')],
    () => ['INCRBYFLOAT', key('f'), '0.1'],
    () => ['SETRANGE', key('a'), String(random.integer(60)), text()],
    () => ['SETBIT', key('a'), String(random.integer(300)), '1'],
    () => ['MSET', key('s'), text(), key('s'), text()],
    () => ['DEL', key('s'), key('h')],
    () => ['UNLINK', key('l')],
    () => ['RENAME', key('s'), key('s')],
    () => ['COPY', key('s'), key('s'), 'REPLACE'],
    () => ['COPY', key('h'), key('h'), 'DB', '3', 'REPLACE'],
    () => ['MOVE', key('s'), '3'],
    () => ['RPUSH', key('l'), text(), text()],
    () => ['LMOVE', key('l'), key('l'), 'LEFT', 'RIGHT'],
    () => ['LPOP', key('l'), '2'],
    () => ['LTRIM', key('l'), '0', '30'],
    () => ['HSET', key('h'), text(), text()],
    () => ['HINCRBYFLOAT', key('hf'), 'f', '0.3'],
    () => ['SADD', key('set'), ...Array.from({ length: 12 }, text)],
    () => ['SPOP', key('set'), '3'],
    () => ['SMOVE', key('set'), key('set'), text()],
    () => ['SUNIONSTORE', key('set'), key('set'), key('set')],
    () => ['ZADD', key('z'), String(random.next()), text()],
    () => ['ZINCRBY', key('z'), '1.5', text()],
    () => ['ZPOPMIN', key('z')],
    () => ['ZRANGESTORE', key('z'), key('z'), '0', '10'],
    () => ['SORT', key('set'), 'ALPHA', 'STORE', key('l')],
    () => ['PFADD', key('p'), text(), text()],
    () => ['PFMERGE', key('p'), key('p')],
    () => ['BITOP', 'XOR', key('a'), key('a'), key('a')],
    () => ['GEOADD', key('g'), String(random.next() * 90), '10', text()],
    () => ['XADD', key('x'), 'MAXLEN', '~', '50', '*', 'f', text()],
    () => ['XADD', key('x'), 'MAXLEN', '~', '50', 'LIMIT', '20', '*', 'f', text()],
    () => [
      'XGROUP',
      'CREATE',
      `x:${random.integer(12)}`,
      `g${Buffer.from(random.bytes(6)).toString('hex')}`,
      '0',
      'MKSTREAM',
    ],
    () => [
      'EVAL',
      "redis.call('SET', KEYS[1], ARGV[1]) redis.call('INCR', KEYS[2]) return redis.call('PUBLISH', 'c', 'x')",
      '2',
      key('s'),
      key('n'),
      text(),
    ],
    () => ['FCALL', 'work', '1', key('n'), text()],
    () => ['FUNCTION', 'LOAD', 'REPLACE', LIBRARY(random.integer(5))],
    () => ['PUBLISH', 'news', text()],
    () => ['SELECT', String(random.pick([0, 0, 0, 3]))],
    () => ['SWAPDB', '3', '4'],
    () => ['FLUSHDB'],
  ];
  yield ['FUNCTION', 'LOAD', 'REPLACE', LIBRARY(1)];
  yield ['XGROUP', 'CREATE', 'xg', 'g', '0', 'MKSTREAM'];
  for (;;) {
    const kind = random.integer(20);
    if (kind === 0) {
      yield ['MULTI'];
      for (let left = random.integer(6); left >= 0; left -= 1) yield random.pick(simple.slice(0, -3))();
      yield ['EXEC'];
    } else if (kind === 1) {
      yield ['SELECT', '0'];
      yield ['XADD', 'xg', '*', 'a', text()];
      yield ['XREADGROUP', 'GROUP', 'g', `c${random.integer(3)}`, 'COUNT', '1', 'STREAMS', 'xg', '>'];
      yield ['XAUTOCLAIM', 'xg', 'g', 'c0', '0', '0', 'COUNT', '1'];
    } else if (kind === 2 && random.chance(0.9)) yield ['SELECT', '0'];
    else {
      const words = random.pick(simple)();
      if (words[0] === 'FLUSHDB' && random.chance(0.9)) continue;
      yield words;
    }
  }
}

/** Errors that say that a command did not fit what is there; then it changed nothing. */
export const HARMLESS =
  /no such key|WRONGTYPE|BUSYGROUP|not exist|same object|source and destination objects|not found|not an integer|not a valid float|valid HyperLogLog|xg|NOGROUP/i;
