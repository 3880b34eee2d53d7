import { createCipheriv, createHash } from 'node:crypto';
import { must } from '../../src/core/must.ts';
import { compileGrammar, GrammarWriter, vocabularyOf } from './grammar.ts';
import type { Grammar, Vocabulary } from './grammar.ts';
import { seededRandom } from './random.ts';

/** What a file of the generated tree holds. */
export type ContentKind = 'source' | 'text' | 'binary' | 'records' | 'media' | 'dump';

/** The content of one file, written piece by piece from its start. */
export interface ContentWriter {
  fill(target: Uint8Array): void;
}

const WORDS = 12_000;
const OPCODES = 4_000;

function syllableWords(): Vocabulary {
  const random = seededRandom(20_011);
  const onsets = 'b c d f g h l m n p r s t v w st tr pl ch th'.split(' ');
  const vowels = 'a e i o u ea ou io'.split(' ');
  const codas = ['', '', 'n', 'r', 's', 't', 'l', 'nd', 'ck', 'ng'];
  const pick = (from: readonly string[]): string => must(from[random.below(from.length)], 'a syllable');
  const words = new Set<string>();
  while (words.size < WORDS) {
    const syllables = 1 + random.below(words.size < 150 ? 2 : 4);
    words.add(Array.from({ length: syllables }, () => pick(onsets) + pick(vowels) + pick(codas)).join(''));
  }
  return vocabularyOf([...words].map((word) => Buffer.from(word)));
}

function machineCode(): Vocabulary {
  const random = seededRandom(30_011);
  return vocabularyOf(
    Array.from({ length: OPCODES }, () => Uint8Array.from({ length: 2 + random.below(11) }, () => random.below(256))),
  );
}

const SOURCE_LINES = [
  '{indent}const {local} = {local}({word}, {number});\n',
  '{indent}const {local} = await {local}.{word}({local}, { {word}: {local} });\n',
  '{indent}if ({local}.{local} === {local}) {\n',
  '{indent}return {local}.{word}({local}, {word});\n',
  "{indent}throw new Error('{words}');\n",
  '{indent}}\n',
  '{indent}}\n\n',
  '{indent}for (const {local} of {local}.{word}) {\n',
  '{indent}// {words}\n',
  '{indent}{local}.{word} = {local} + {number};\n',
  'export function {word}({local}: string, {local}: number): {word} {\n',
  "import { {word}, {word} } from './{word}/{word}.js';\n",
];
const TEXT_LINES = [
  '{words} {words}.\n',
  '{words}, {words} {word}.\n',
  '{words} {words}, {words}.\n\n',
  '## {word} {word}\n\n',
  '- {word}: {words}\n',
  '  "{word}": "{words}",\n',
  '{word} = {number}\n',
];
const RECORD_LINES = [
  '{time} INFO  [{local}] {words} id={hex} took={number}ms\n',
  '{time} DEBUG [{local}] {local}.{word} from 10.0.{number}.{number} status={number}\n',
  '{time} WARN  [{local}] {words}: {word}\n',
  '{"time":"{time}","level":"info","request":"{uuid}","path":"/{word}/{local}/{serial}","bytes":{number}}\n',
];
const DUMP_LINES = [
  '{serial}\t{uuid}\t{time}\t{words}\t{"state":"{local}","total":{number},"note":"{words}"}\t{hex}\n',
  '{serial}\t{uuid}\t{time}\t{words} {words}\t{"state":"{local}","total":{number}}\t\\N\n',
  '{serial}\t{uuid}\t{time}\t{word}\t{"state":"{local}","tags":["{word}","{word}"]}\t{hex}{hex}\n',
];
const BINARY_LINES = [
  '{word}{word}{local}{word}{byte}{local}',
  '{word}{byte}\0\0\0{local}{word}{local}',
  '{local}{word}{byte}{byte}\xff\xff{word}{word}',
  '{byte}{byte}{byte}\0\0\0\0\0{local}{word}',
  '{word}{local}{word}{zeros}',
];

function grammars(): Record<Exclude<ContentKind, 'media'>, Grammar> {
  const words = syllableWords();
  return {
    source: compileGrammar(words, SOURCE_LINES),
    text: compileGrammar(words, TEXT_LINES),
    records: compileGrammar(words, RECORD_LINES),
    dump: compileGrammar(words, DUMP_LINES),
    binary: compileGrammar(machineCode(), BINARY_LINES),
  };
}

function noise(seed: number): ContentWriter {
  const key = createHash('sha256').update(`media ${seed}`).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  return {
    fill: (target) => {
      target.set(cipher.update(target.fill(0)));
    },
  };
}

/** Makes the writers of all kinds; building the vocabularies takes a few milliseconds, so keep it. */
export function contentWriters(): (kind: ContentKind, seed: number) => ContentWriter {
  const byKind = grammars();
  return (kind, seed) => (kind === 'media' ? noise(seed) : new GrammarWriter(byKind[kind], seed));
}
