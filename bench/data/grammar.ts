import { must } from '../../src/core/must.ts';
import { deriveSeed, seededRandom } from './random.ts';
import type { Random } from './random.ts';

/** Tokens of any bytes, the frequent ones first. */
export interface Vocabulary {
  readonly bytes: Uint8Array;
  /** Token `i` lies in `bytes` from `starts[i]` up to `starts[i + 1]`. */
  readonly starts: Uint32Array;
  /** 65,536 token numbers, each as often as Zipf's law wants it. */
  readonly draw: Uint16Array;
}

/** Lines of one kind of content; `compileGrammar` makes them from templates. */
export interface Grammar {
  readonly vocabulary: Vocabulary;
  readonly literals: Uint8Array;
  readonly literalStarts: Uint32Array;
  /** Each line is a list of codes: 0 and up a literal, below 0 a slot. */
  readonly lines: readonly Int32Array[];
}

/** What `{name}` in a template stands for. */
const SLOTS = ['word', 'local', 'words', 'number', 'serial', 'byte', 'hex', 'uuid', 'time', 'indent', 'zeros'] as const;
const DRAW_SIZE = 65_536;
const LOCAL_NAMES = 24;
/** Far more than the longest line of any grammar here. */
const LONGEST_LINE = 8_192;
const SPACE = 0x20;
const ZERO = 0x30;
const LETTER_Z = 0x5a;
const HEX = new TextEncoder().encode('0123456789abcdef');

export function vocabularyOf(tokens: readonly Uint8Array[]): Vocabulary {
  const starts = new Uint32Array(tokens.length + 1);
  tokens.forEach((token, i) => {
    starts[i + 1] = must(starts[i], 'the start before') + token.length;
  });
  const weights = tokens.map((_, i) => 1 / (i + 2.7));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const draw = new Uint16Array(DRAW_SIZE);
  let reached = 0;
  let slot = 0;
  weights.forEach((weight, i) => {
    reached += (weight / total) * DRAW_SIZE;
    for (; slot < Math.min(DRAW_SIZE, Math.round(reached)); slot += 1) draw[slot] = i;
  });
  return { bytes: new Uint8Array(Buffer.concat(tokens)), starts, draw };
}

/** @param templates lines with slots in braces, such as `const {local} = {number};` */
export function compileGrammar(vocabulary: Vocabulary, templates: readonly string[]): Grammar {
  const literals: Buffer[] = [];
  const lines = templates.map((template) => {
    const codes: number[] = [];
    for (const part of template.split(/(\{[a-z]+\})/)) {
      const slot = SLOTS.findIndex((name) => part === `{${name}}`);
      if (slot >= 0) codes.push(-1 - slot);
      else if (part !== '') codes.push(literals.push(Buffer.from(part, 'latin1')) - 1);
    }
    return Int32Array.from(codes);
  });
  const literalStarts = new Uint32Array(literals.length + 1);
  literals.forEach((literal, i) => {
    literalStarts[i + 1] = must(literalStarts[i], 'the start before') + literal.length;
  });
  return { vocabulary, literals: new Uint8Array(Buffer.concat(literals)), literalStarts, lines };
}

/**
 * Writes one file's content from a grammar. Content depends on the grammar and the seed only, not on how it is split
 * over calls of `fill`.
 */
export class GrammarWriter {
  readonly #grammar: Grammar;
  readonly #random: Random;
  readonly #line = new Uint8Array(LONGEST_LINE);
  readonly #locals = new Uint16Array(LOCAL_NAMES);
  #lineStart = 0;
  #lineEnd = 0;
  #indent = 1;
  #serial: number;
  #timeMs = 1_600_000_000_000;
  #secondMs = 0;
  #secondText = new Uint8Array(0);

  constructor(grammar: Grammar, seed: number) {
    this.#grammar = grammar;
    this.#random = seededRandom(deriveSeed('content', seed));
    this.#serial = 1 + this.#random.below(1_000_000);
    for (let i = 0; i < LOCAL_NAMES; i += 1) this.#locals[i] = this.#drawToken();
  }

  /** Fills `target` to its end. */
  fill(target: Uint8Array): void {
    let at = 0;
    while (at < target.length) {
      if (this.#lineStart === this.#lineEnd) this.#writeLine();
      const take = Math.min(target.length - at, this.#lineEnd - this.#lineStart);
      for (let i = 0; i < take; i += 1) target[at + i] = this.#line[this.#lineStart + i] ?? 0;
      at += take;
      this.#lineStart += take;
    }
  }

  #writeLine(): void {
    const { lines } = this.#grammar;
    this.#lineStart = 0;
    this.#lineEnd = 0;
    for (const code of must(lines[this.#random.below(lines.length)], 'a line')) {
      if (code >= 0) this.#copy(this.#grammar.literals, this.#grammar.literalStarts, code);
      else this.#writeSlot(-1 - code);
    }
  }

  #writeSlot(slot: number): void {
    const { vocabulary } = this.#grammar;
    switch (SLOTS[slot]) {
      case 'word':
        return this.#copy(vocabulary.bytes, vocabulary.starts, this.#drawToken());
      case 'local':
        return this.#writeLocal();
      case 'words':
        return this.#writeWords(4 + this.#random.below(10));
      case 'number':
        return this.#writeNumber(this.#random.below(10 ** (1 + this.#random.below(4))));
      case 'serial':
        this.#serial += 1 + this.#random.below(3);
        return this.#writeNumber(this.#serial);
      case 'byte':
        return this.#put(this.#random.next() & 0xff);
      case 'hex':
        return this.#writeHex(16);
      case 'uuid':
        return this.#writeUuid();
      case 'time':
        return this.#writeTime();
      case 'indent':
        return this.#writeIndent();
      case 'zeros':
        return this.#repeat(0, 1 + this.#random.below(12));
      default:
        throw new RangeError(`no slot ${slot}`);
    }
  }

  #drawToken(): number {
    return this.#grammar.vocabulary.draw[this.#random.next() & (DRAW_SIZE - 1)] ?? 0;
  }

  #put(byte: number): void {
    this.#line[this.#lineEnd] = byte;
    this.#lineEnd += 1;
  }

  #repeat(byte: number, times: number): void {
    for (let i = 0; i < times; i += 1) this.#put(byte);
  }

  #copy(bytes: Uint8Array, starts: Uint32Array, index: number): void {
    const end = starts[index + 1] ?? 0;
    for (let i = starts[index] ?? 0; i < end; i += 1) this.#put(bytes[i] ?? 0);
  }

  #writeLocal(): void {
    const slot = this.#random.below(LOCAL_NAMES);
    if (this.#random.below(12) === 0) this.#locals[slot] = this.#drawToken();
    this.#copy(this.#grammar.vocabulary.bytes, this.#grammar.vocabulary.starts, this.#locals[slot] ?? 0);
  }

  #writeWords(count: number): void {
    for (let i = 0; i < count; i += 1) {
      if (i > 0) this.#put(SPACE);
      this.#copy(this.#grammar.vocabulary.bytes, this.#grammar.vocabulary.starts, this.#drawToken());
    }
  }

  #writeNumber(value: number): void {
    const text = String(value);
    for (let i = 0; i < text.length; i += 1) this.#put(text.charCodeAt(i));
  }

  #writeHex(digits: number): void {
    let bits = 0;
    for (let i = 0; i < digits; i += 1) {
      if (i % 8 === 0) bits = this.#random.next();
      this.#put(HEX[bits & 15] ?? 0);
      bits >>>= 4;
    }
  }

  #writeUuid(): void {
    for (const digits of [8, 4, 4, 4, 12]) {
      if (digits !== 8) this.#put(0x2d);
      this.#writeHex(digits);
    }
  }

  #writeTime(): void {
    this.#timeMs += this.#random.below(400);
    const ms = this.#timeMs % 1_000;
    const second = this.#timeMs - ms;
    if (second !== this.#secondMs) {
      this.#secondMs = second;
      this.#secondText = Buffer.from(new Date(second).toISOString().slice(0, 20));
    }
    for (const byte of this.#secondText) this.#put(byte);
    this.#put(ZERO + Math.floor(ms / 100));
    this.#put(ZERO + (Math.floor(ms / 10) % 10));
    this.#put(ZERO + (ms % 10));
    this.#put(LETTER_Z);
  }

  #writeIndent(): void {
    this.#indent = Math.max(1, Math.min(5, this.#indent + this.#random.below(3) - 1));
    this.#repeat(SPACE, this.#indent * 2);
  }
}
