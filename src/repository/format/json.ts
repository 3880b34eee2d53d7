import type { TidemarkError } from '../../core/errors.ts';
import { damaged } from './byte-cursor.ts';

/** A value as JSON.parse yields it. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

/** Stands in a value for bytes in base64, which are made when they are asked for. Nothing that was parsed has one. */
export class LaterBytes {
  readonly read: () => Uint8Array;

  constructor(read: () => Uint8Array) {
    this.read = read;
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads the fields of a JSON object that came from outside: each with its type checked, none trusted. */
export class JsonFields {
  readonly #value: Readonly<Record<string, unknown>>;
  readonly #what: string;
  /** Of the text that it was parsed from; 0 where it is a part of one. */
  readonly sizeBytes: number;

  constructor(value: unknown, what: string, sizeBytes = 0) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw damaged(what, 'an object is expected');
    }
    this.#value = value as Readonly<Record<string, unknown>>; // any JSON object is this; each field is checked when it is read
    this.#what = what;
    this.sizeBytes = sizeBytes;
  }

  static parse(bytes: Uint8Array, what: string): JsonFields {
    let value: unknown;
    try {
      value = JSON.parse(decoder.decode(bytes));
    } catch (cause) {
      throw damaged(what, 'it is not JSON', cause);
    }
    return new JsonFields(value, what, bytes.byteLength);
  }

  /** The same with one more. */
  with(key: string, value: LaterBytes): JsonFields {
    return new JsonFields({ ...this.#value, [key]: value }, this.#what, this.sizeBytes);
  }

  get all(): Readonly<Record<string, Json>> {
    return this.#value as Readonly<Record<string, Json>>; // it came out of JSON.parse
  }

  /** All but one. */
  without(key: string): Readonly<Record<string, Json>> {
    const { [key]: _left, ...rest } = this.#value;
    return rest as Readonly<Record<string, Json>>; // it came out of JSON.parse
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#value, key) && this.#value[key] !== undefined;
  }

  keys(): readonly string[] {
    return Object.keys(this.#value);
  }

  text(key: string): string {
    const value = this.#get(key);
    return typeof value === 'string' ? value : this.#fail(key, 'a text');
  }

  /** A text of that form. `expected` says which it is. */
  formed(key: string, form: RegExp, expected: string): string {
    const value = this.text(key);
    return form.test(value) ? value : this.#fail(key, expected);
  }

  optionalText(key: string): string | undefined {
    return this.has(key) ? this.text(key) : undefined;
  }

  number(key: string): number {
    const value = this.#get(key);
    return typeof value === 'number' && Number.isFinite(value) ? value : this.#fail(key, 'a number');
  }

  count(key: string, largest = Number.MAX_SAFE_INTEGER): number {
    const value = this.number(key);
    return Number.isSafeInteger(value) && value >= 0 && value <= largest
      ? value
      : this.#fail(key, `a whole number up to ${largest}`);
  }

  flag(key: string): boolean {
    const value = this.#get(key);
    return typeof value === 'boolean' ? value : this.#fail(key, 'true or false');
  }

  oneOf<const Value extends string>(key: string, values: readonly Value[]): Value {
    const found = values.find((value) => value === this.#get(key));
    return found ?? this.#fail(key, `one of ${values.join(', ')}`);
  }

  hex(key: string, sizeBytes: number): string {
    const value = this.text(key);
    return new RegExp(`^[0-9a-f]{${sizeBytes * 2}}$`).test(value)
      ? value
      : this.#fail(key, `${sizeBytes} bytes in hexadecimal`);
  }

  /** @param sizeBytes exact size, or undefined for any */
  base64(key: string, sizeBytes?: number): Uint8Array {
    const text = this.text(key);
    const bytes = Buffer.from(text, 'base64');
    if (bytes.toString('base64') !== text) this.#fail(key, 'base64');
    if (sizeBytes !== undefined && bytes.byteLength !== sizeBytes) this.#fail(key, `${sizeBytes} bytes in base64`);
    return bytes;
  }

  /** Any number of items of `itemBytes` each, one after another. */
  base64Items(key: string, itemBytes: number): Uint8Array {
    const bytes = this.base64(key);
    return bytes.byteLength % itemBytes === 0 ? bytes : this.#fail(key, `items of ${itemBytes} bytes in base64`);
  }

  /** As `base64Items`, for many bytes that are seldom asked for. */
  laterBase64Items(key: string, itemBytes: number): () => Uint8Array {
    const value = this.#get(key);
    if (value instanceof LaterBytes) return value.read;
    const bytes = this.base64Items(key, itemBytes);
    return () => bytes;
  }

  object(key: string): JsonFields {
    return new JsonFields(this.#get(key), `${key} of ${this.#what}`);
  }

  /** An object whose fields are whatever JSON allows. */
  json(key: string): Readonly<Record<string, Json>> {
    return this.object(key).#value as Readonly<Record<string, Json>>; // it came out of JSON.parse
  }

  list(key: string): readonly unknown[] {
    const value = this.#get(key);
    return Array.isArray(value) ? value : this.#fail(key, 'a list');
  }

  objects(key: string): readonly JsonFields[] {
    return this.list(key).map((value) => new JsonFields(value, `${key} of ${this.#what}`));
  }

  texts(key: string): readonly string[] {
    return this.list(key).map((value) => (typeof value === 'string' ? value : this.#fail(key, 'a list of texts')));
  }

  /** Texts of that form. `expected` says which it is. */
  formedTexts(key: string, form: RegExp, expected: string): readonly string[] {
    const texts = this.texts(key);
    return texts.every((text) => form.test(text)) ? texts : this.#fail(key, `a list of ${expected}`);
  }

  /** The names of the fields, where all are of that form. `expected` says which it is. */
  formedKeys(form: RegExp, expected: string): readonly string[] {
    const keys = this.keys();
    if (keys.every((key) => form.test(key))) return keys;
    throw damaged(this.#what, `its fields must be ${expected}`);
  }

  #get(key: string): unknown {
    return Object.hasOwn(this.#value, key) ? this.#value[key] : undefined;
  }

  /** That a field is not what is expected. */
  wrong(key: string, expected: string): TidemarkError {
    return damaged(this.#what, `${key} must be ${expected}`);
  }

  #fail(key: string, expected: string): never {
    throw this.wrong(key, expected);
  }
}

export function encodeJson(value: Json): Uint8Array {
  return Buffer.from(JSON.stringify(value), 'utf8');
}

export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
