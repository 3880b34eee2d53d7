import type { SeededRandom } from '../../flow/random.ts';

/** NAME_MAX of Linux file systems. */
export const LONGEST_NAME = 255;

const fromText = (text: string): Buffer => Buffer.from(text, 'utf8');

/** File names that programs get wrong, each legal: every byte but 0 and '/' is. */
export const oddNames: readonly Buffer[] = [
  fromText('with space'),
  fromText(' leading and trailing '),
  fromText('line\nbreak'),
  fromText('tab\tand\rreturn'),
  fromText('-rf'),
  fromText('--help'),
  fromText('~'),
  fromText('$HOME'),
  fromText('*?[a]!'),
  fromText('!negated'),
  fromText('#comment'),
  fromText('"quoted\' `text`'),
  fromText('back\\slash\\'),
  fromText('...'),
  fromText('.hidden'),
  fromText('UPPER'),
  fromText('upper'),
  fromText('ünï-ço∂é 日本語 😀'),
  fromText('e\u0301 combining'),
  fromText('\u00e9 composed'),
  fromText('%00%2f'),
  fromText('__proto__'),
  fromText('a:b|c<d>'),
  Buffer.from([0x01]),
  Buffer.from([0x7f, 0x1b, 0x5b, 0x33, 0x31, 0x6d]),
  Buffer.from([0xff]),
  Buffer.from([0xc3]),
  Buffer.from([0xed, 0xa0, 0x80]),
  Buffer.concat([fromText('latin-1 caf'), Buffer.from([0xe9])]),
  Buffer.alloc(LONGEST_NAME, 'n'),
  Buffer.alloc(LONGEST_NAME, 0xfe),
];

const WORDS = ['index', 'report', 'photo', 'data', 'main', 'test', 'cache', 'note', 'old', 'copy'] as const;
const ENDINGS = ['.ts', '.txt', '.json', '.bin', '.jpg', '', '.log', '.md'] as const;

/** A name that no other call with the same `number` gives. One in eight is of random bytes. */
export function randomName(random: SeededRandom, number: number): Buffer {
  if (random.chance(1 / 8)) {
    const bytes = Buffer.from(random.bytes(1 + random.integer(20))).map((byte) =>
      byte === 0 || byte === 0x2f ? 0x5f : byte,
    );
    return Buffer.concat([bytes, fromText(`~${number}`)]);
  }
  return fromText(`${random.pick(WORDS)}-${number}${random.pick(ENDINGS)}`);
}

/** `folder/name`, as bytes. */
export function childPath(folder: Uint8Array, name: Uint8Array): Buffer {
  return Buffer.concat([folder, fromText('/'), name]);
}
