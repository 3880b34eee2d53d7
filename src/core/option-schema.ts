import { nearest } from './nearest.ts';
import { quoted } from './printable.ts';

/**
 * Descriptions of what a manifest may say. From one such object come the check with its explanations, the TypeScript types, the JSON
 * Schema for editors and the reference page.
 */

/** A key's way down from the top of what is checked. */
export type KeyPath = readonly (string | number)[];

/** `at`: whether the key is wrong or its value. `message` reads after the key's name. */
export type OptionMistake = { readonly path: KeyPath; readonly at: 'key' | 'value'; readonly message: string };

export type Report = (mistake: OptionMistake) => void;

export type JsonSchema = Readonly<Record<string, unknown>>;

/** A kind of value. `read` gives undefined when it has reported a mistake; `expects` are the words that follow "expected". */
export interface OptionType<Value> {
  readonly expects: string;
  readonly jsonSchema: JsonSchema;
  /** A secret, or where one is: its value is in no message and in nothing that is stored. */
  readonly secret?: boolean | undefined;
  /** The path of a file or folder: relative ones start at the manifest's folder. */
  readonly isPath?: boolean | undefined;
  read(value: unknown, path: KeyPath, report: Report): Value | undefined;
}

/** A key of an object. `fallback` is what holds when the key is not written, in the form in which it would be. */
export type Option<Value> = {
  readonly type: OptionType<unknown>;
  readonly says: string;
  readonly need: 'required' | 'optional' | 'default';
  readonly fallback?: unknown;
  /** Never there: it carries the type of the value. */
  readonly gives?: (() => Value) | undefined;
};

export type Options = Readonly<Record<string, Option<unknown>>>;

export type ValueOf<Type> = Type extends OptionType<infer Value> ? Value : never;

export type ValuesOf<Keys extends Options> = {
  readonly [Name in keyof Keys]: Keys[Name] extends Option<infer Value> ? Value : never;
};

export function required<Value>(type: OptionType<Value>, says: string): Option<Value> {
  return { type, says, need: 'required' };
}

export function optional<Value>(type: OptionType<Value>, says: string): Option<Value | undefined> {
  return { type, says, need: 'optional' };
}

/** `fallback` is checked and converted as if it had been written. */
export function withDefault<Value>(type: OptionType<Value>, fallback: unknown, says: string): Option<Value> {
  return { type, says, need: 'default', fallback };
}

export type TextOptions = {
  readonly expects: string;
  readonly pattern?: RegExp | undefined;
  readonly mostCharacters?: number | undefined;
  readonly secret?: boolean | undefined;
};

export function text(options: TextOptions): OptionType<string> {
  return convertedText(options, (written) => written);
}

/** Text that becomes something else. `convert` gives undefined for what is not expected, or says in its own words what is wrong. */
export function convertedText<Value>(
  options: TextOptions,
  convert: (written: string) => Value | Wrong | undefined,
): OptionType<Value> {
  const { expects, pattern, mostCharacters = 4096, secret } = options;
  return {
    expects,
    secret,
    jsonSchema: { type: 'string', ...(pattern && { pattern: pattern.source }) },
    read(value, path, report) {
      const fits = typeof value === 'string' && value.length <= mostCharacters && (pattern?.test(value) ?? true);
      const converted = fits ? convert(value) : undefined;
      if (converted instanceof Wrong) return refuse(path, converted.message, report);
      return converted ?? refuse(path, unexpected(expects, value, secret), report);
    },
  };
}

/** What a conversion gives to explain itself. */
export class Wrong {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

export function wholeNumber(from: number, to: number): OptionType<number> {
  const expects = `a whole number from ${from} to ${to}`;
  return {
    expects,
    jsonSchema: { type: 'integer', minimum: from, maximum: to },
    read(value, path, report) {
      if (typeof value === 'number' && Number.isInteger(value) && value >= from && value <= to) return value;
      return refuse(path, unexpected(expects, value), report);
    },
  };
}

export function flag(): OptionType<boolean> {
  const expects = 'true or false';
  return {
    expects,
    jsonSchema: { type: 'boolean' },
    read: (value, path, report) =>
      typeof value === 'boolean' ? value : refuse(path, unexpected(expects, value), report),
  };
}

export function choice<const Choice extends string>(choices: readonly Choice[]): OptionType<Choice> {
  const expects = `one of ${choices.join(', ')}`;
  return {
    expects,
    jsonSchema: { type: 'string', enum: choices },
    read: (value, path, report) =>
      choices.find((candidate) => candidate === value) ?? refuse(path, unexpected(expects, value), report),
  };
}

export function list<Value>(
  item: OptionType<Value>,
  options: { readonly expects: string; readonly least?: number | undefined; readonly most?: number | undefined },
): OptionType<readonly Value[]> {
  const { expects, least = 0, most = 10_000 } = options;
  return {
    expects,
    secret: item.secret,
    jsonSchema: { type: 'array', items: item.jsonSchema, ...(least > 0 && { minItems: least }) },
    read(value, path, report) {
      if (!Array.isArray(value) || value.length < least || value.length > most) {
        return refuse(path, unexpected(expects, value, item.secret), report);
      }
      const items: Value[] = [];
      for (const [index, each] of value.entries()) {
        const read = item.read(each, [...path, index], report);
        if (read !== undefined) items.push(read);
      }
      return items;
    },
  };
}

/** Values by names that the operator gives. */
export function byName<Value>(
  value: OptionType<Value>,
  options: { readonly expects: string; readonly name: OptionType<string>; readonly least?: number | undefined },
): OptionType<Readonly<Record<string, Value>>> {
  const { expects, name, least = 0 } = options;
  return {
    expects,
    jsonSchema: {
      type: 'object',
      propertyNames: name.jsonSchema,
      additionalProperties: value.jsonSchema,
      ...(least > 0 && { minProperties: least }),
    },
    read(written, path, report) {
      if (!isKeyed(written) || Object.keys(written).length < least) {
        return refuse(path, unexpected(expects, written), report);
      }
      const values: Record<string, Value> = {};
      for (const [key, each] of Object.entries(written)) {
        const at = [...path, key];
        const isName = name.read(key, at, () => undefined) !== undefined;
        if (!isName) report({ path: at, at: 'key', message: `expected ${name.expects}` });
        const read = value.read(each, at, report);
        if (isName && read !== undefined) values[key] = read;
      }
      return values;
    },
  };
}

/** An object with these keys. Others are refused, unless `open`; of those, `later` are said to be missing instead of unknown. */
export function keys<const Keys extends Options>(
  options: Keys,
  settings: { readonly expects?: string; readonly later?: readonly string[]; readonly open?: boolean } = {},
): OptionType<ValuesOf<Keys>> & { readonly options: Keys } {
  const { expects = 'keys and values', later = [], open = false } = settings;
  return {
    options,
    expects,
    jsonSchema: objectSchema(options),
    read(written, path, report) {
      if (!isKeyed(written)) return refuse(path, unexpected(expects, written), report);
      for (const key of Object.keys(written)) {
        if (open || Object.hasOwn(options, key)) continue;
        report({ path: [...path, key], at: 'key', message: unknownKey(key, Object.keys(options), later) });
      }
      const values = Object.entries(options).map(([key, option]) => [
        key,
        readOption(option, written, [...path, key], report),
      ]);
      // Each value has been read by the option whose type it has.
      return Object.fromEntries(values) as ValuesOf<Keys>;
    },
  };
}

function readOption(
  option: Option<unknown>,
  written: Readonly<Record<string, unknown>>,
  path: KeyPath,
  report: Report,
): unknown {
  const key = String(path.at(-1));
  if (Object.hasOwn(written, key) && written[key] !== undefined) return option.type.read(written[key], path, report);
  if (option.need === 'default') return option.type.read(option.fallback, path, report);
  if (option.need === 'required') report({ path, at: 'key', message: `missing; expected ${option.type.expects}` });
  return undefined;
}

export type Checked<Value> =
  | { readonly value: Value; readonly mistakes: readonly [] }
  | { readonly value?: undefined; readonly mistakes: readonly OptionMistake[] };

/** The value that is written, converted and complete; or everything that is wrong with it. */
export function check<Value>(type: OptionType<Value>, written: unknown, path: KeyPath = []): Checked<Value> {
  const mistakes: OptionMistake[] = [];
  const value = type.read(written, path, (mistake) => mistakes.push(mistake));
  return value === undefined || mistakes.length > 0 ? { mistakes } : { value, mistakes: [] };
}

/** The names of those keys whose values are secrets or say where one is. */
export function secretKeys(options: Options): readonly string[] {
  return Object.entries(options).flatMap(([name, { type }]) => (type.secret === true ? [name] : []));
}

function refuse(path: KeyPath, message: string, report: Report): undefined {
  report({ path, at: 'value', message });
}

function unexpected(expects: string, value: unknown, isSecret = false): string {
  return `expected ${expects}, found ${found(value, isSecret)}`;
}

function found(value: unknown, isSecret: boolean): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return Object.keys(value).length === 0 ? 'no keys' : 'keys and values';
  if (isSecret) return typeof value === 'string' ? 'other text' : `a ${typeof value}`;
  return typeof value === 'string' ? quoted(value) : JSON.stringify(value);
}

const SECRET_ENDINGS = /(?:File|Env|Command)$/;

function unknownKey(key: string, known: readonly string[], later: readonly string[]): string {
  const sources = known.filter((name) => SECRET_ENDINGS.test(name) && name.replace(SECRET_ENDINGS, '') === key);
  if (sources.length > 0) return `a secret is never in the manifest; use ${sources.join(', ')} to say where it is`;
  if (later.includes(key)) return 'not in this version';
  const stems = known.filter((name) => SECRET_ENDINGS.test(name)).map((name) => name.replace(SECRET_ENDINGS, ''));
  const stem = nearest(key, stems);
  const meant = nearest(key, known) ?? known.find((name) => stem !== undefined && name.startsWith(stem));
  return `unknown key; ${meant === undefined ? `known here: ${known.join(', ')}` : `did you mean ${meant}?`}`;
}

function objectSchema(options: Options): JsonSchema {
  const entries = Object.entries(options);
  const requiredKeys = entries.filter(([, { need }]) => need === 'required').map(([name]) => name);
  const properties = entries.map(([name, { type, says, need, fallback }]) => [
    name,
    { ...type.jsonSchema, description: says, ...(need === 'default' && { default: fallback }) },
  ]);
  return {
    type: 'object',
    properties: Object.fromEntries(properties) as JsonSchema,
    ...(requiredKeys.length > 0 && { required: requiredKeys }),
    additionalProperties: false,
  };
}

function isKeyed(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
