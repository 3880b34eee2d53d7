import type * as z from 'zod';
import { quoted } from '../core/printable.ts';
import type { Places } from './manifest-yaml.ts';
import { keyText } from './mistakes.ts';
import type { KeyPath, Mistake } from './mistakes.ts';
import { nearest } from './nearest.ts';
import { laterKeys } from './schema.ts';

/** Issue as the mistakes need it: `input` is there because the schemas are run with `reportInput`. */
type Issue = z.core.$ZodIssue;

/** How a schema's issues become mistakes of one manifest. `prefix` is where the checked value hangs in it. */
export type IssueContext = {
  readonly file: string;
  readonly places: Places;
  readonly schema: z.ZodType;
  readonly prefix: KeyPath;
  /** The key as the operator wrote it, where a short form was written out before the check. */
  shownKey(path: KeyPath): string;
};

export function mistakesOf(issues: readonly Issue[], context: IssueContext): readonly Mistake[] {
  return issues.flatMap((issue) => mistakesOfIssue(issue, context));
}

function mistakesOfIssue(issue: Issue, context: IssueContext): readonly Mistake[] {
  const inner = issue.path.filter((part) => typeof part !== 'symbol');
  const path = [...context.prefix, ...inner];
  if (issue.code === 'unrecognized_keys') {
    const known = keysOf(schemaAt(context.schema, inner));
    return issue.keys.map((key) => ({
      file: context.file,
      place: context.places.key([...path, key]),
      key: keyText([...path, key]),
      message: unknownKeyMessage(key, known),
    }));
  }
  const schema = schemaAt(context.schema, inner);
  const key = context.shownKey(path);
  if (issue.code === 'invalid_key') {
    const expected = expectationOf(keySchemaOf(schemaAt(context.schema, inner.slice(0, -1))));
    return [{ file: context.file, place: context.places.key(path), key, message: `expected ${expected}` }];
  }
  if ((issue.code === 'invalid_type' || issue.code === 'invalid_value') && issue.input === undefined) {
    const message = `missing; expected ${expectationOf(schema)}`;
    return [{ file: context.file, place: context.places.key(path), key, message }];
  }
  return [{ file: context.file, place: context.places.value(path), key, message: valueMessage(issue, schema) }];
}

function unknownKeyMessage(key: string, known: readonly string[]): string {
  const sources = [`${key}File`, `${key}Env`, `${key}Command`].filter((name) => known.includes(name));
  if (sources.length > 0) return `a secret is never in the manifest; use ${sources.join(', ')} to say where it is`;
  if (laterKeys.includes(key)) return 'not in this version';
  const endings = /(?:File|Env|Command)$/;
  const stem = nearest(
    key,
    known.filter((name) => endings.test(name)).map((name) => name.replace(endings, '')),
  );
  const meant = nearest(key, known) ?? known.find((name) => stem !== undefined && name.startsWith(stem));
  if (meant !== undefined) return `unknown key; did you mean ${meant}?`;
  return known.length === 0 ? 'unknown key' : `unknown key; known here: ${known.join(', ')}`;
}

function valueMessage(issue: Issue, schema: z.ZodType | undefined): string {
  if (issue.code === 'custom' && issue.message !== 'Invalid input') return issue.message;
  const secret = metaOf(schema)?.['secret'] === true;
  return `expected ${expectationOf(schema)}, found ${found(issue.input, secret)}`;
}

function found(value: unknown, secret: boolean): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return Object.keys(value).length === 0 ? 'no keys' : 'keys and values';
  if (secret) return typeof value === 'string' ? 'other text' : `a ${typeof value}`;
  return typeof value === 'string' ? quoted(value) : typeof value === 'number' ? String(value) : JSON.stringify(value);
}

/** What a value of this schema looks like, in words that follow "expected". */
function expectationOf(schema: z.ZodType | undefined): string {
  const said = metaOf(schema)?.['expects'];
  if (typeof said === 'string') return said;
  const def = innermost(schema)?._zod.def;
  switch (def?.type) {
    case 'string':
      return 'text';
    case 'number':
      return 'a number';
    case 'boolean':
      return 'true or false';
    case 'array':
      return 'a list';
    case 'object':
    case 'record':
      return 'keys and values';
    case 'enum':
      return `one of ${Object.values((def as z.core.$ZodEnumDef).entries).join(', ')}`;
    default:
      return 'a value';
  }
}

/** The meta of the outermost schema around a value that has some with `expects` or `secret`. */
function metaOf(schema: z.ZodType | undefined): Readonly<Record<string, unknown>> | undefined {
  for (let at = schema; at !== undefined; at = innerOf(at)) {
    const meta = at.meta();
    if (meta?.['expects'] !== undefined || meta?.['secret'] !== undefined) return meta;
  }
  return undefined;
}

function schemaAt(schema: z.ZodType, path: KeyPath): z.ZodType | undefined {
  let at: z.ZodType | undefined = innermost(schema);
  for (const part of path) {
    const def: unknown = at?._zod.def;
    const next = isDef(def, 'object')
      ? def.shape[part]
      : isDef(def, 'record')
        ? def.valueType
        : isDef(def, 'array')
          ? def.element
          : undefined;
    if (next === undefined) return undefined;
    at = part === path.at(-1) ? next : innermost(next);
  }
  return at;
}

/** Keys of an object's schema whose values are secrets or their sources. */
export function secretKeysOf(schema: z.ZodObject): readonly string[] {
  return Object.keys(schema.shape).filter((key) => metaOf(schemaAt(schema, [key]))?.['secret'] === true);
}

/** The keys that a schema of an object knows. */
function keysOf(schema: z.ZodType | undefined): readonly string[] {
  const def: unknown = innermost(schema)?._zod.def;
  return isDef(def, 'object') ? Object.keys(def.shape) : [];
}

function keySchemaOf(schema: z.ZodType | undefined): z.ZodType | undefined {
  const def: unknown = innermost(schema)?._zod.def;
  return isDef(def, 'record') ? def.keyType : undefined;
}

function innermost(schema: z.ZodType | undefined): z.ZodType | undefined {
  let at = schema;
  for (let inner = at && innerOf(at); inner !== undefined; inner = innerOf(inner)) at = inner;
  return at;
}

/** What an optional, a default or a conversion is wrapped around. */
function innerOf(schema: z.ZodType): z.ZodType | undefined {
  const def: unknown = schema._zod.def;
  if (isDef(def, 'optional') || isDef(def, 'default') || isDef(def, 'prefault')) return def.innerType;
  return isDef(def, 'pipe') ? def.in : undefined;
}

/** The parts of zod's own definitions that are looked at here; zod types them only through its classes. */
type Defs = {
  object: { readonly shape: Readonly<Record<string | number, z.ZodType>> };
  record: { readonly keyType: z.ZodType; readonly valueType: z.ZodType };
  array: { readonly element: z.ZodType };
  optional: { readonly innerType: z.ZodType };
  default: { readonly innerType: z.ZodType };
  prefault: { readonly innerType: z.ZodType };
  pipe: { readonly in: z.ZodType };
};

function isDef<Type extends keyof Defs>(def: unknown, type: Type): def is Defs[Type] {
  return typeof def === 'object' && def !== null && 'type' in def && def.type === type;
}
