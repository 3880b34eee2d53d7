import { GENERATED, row } from './markdown.ts';

/** The parts of a JSON Schema that the manifest's has. */
type Schema = {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
};

const EXAMPLE = `application: shop
repository: ./backups
stores:
  uploads: files:./data/uploads`;

export function manifestPage(schema: object): string {
  const top = schema as Schema;
  return [
    GENERATED,
    '# The manifest: `tidemark.yaml`',
    '',
    'The shortest that works:',
    '',
    '```yaml',
    EXAMPLE,
    '```',
    '',
    'It is YAML 1.2 in UTF-8, of at most 256 KiB, without anchors, aliases, merges, tags and directives. Relative paths start at the manifest’s folder. Durations are written `5s`, `15m`, `36h`, `14d`, sizes `512KiB`, `8MiB`, `1GiB`. A secret is never in the manifest: `…File`, `…Env` or `…Command` says where it is.',
    '',
    '`tidemark config check` lists every mistake with line and column; `tidemark config schema` prints the JSON Schema that editors complete and check by.',
    '',
    ...section('Top level', top),
    ...longForms(top, 'repository').flatMap((form) => section('`repository`', form)),
    ...storeForms(top).flatMap((form) => section((form.description ?? '').replace(/\.$/, ''), form)),
  ].join('\n');
}

function section(title: string, schema: Schema): readonly string[] {
  const nested = Object.entries(schema.properties ?? {});
  return [
    `## ${title}`,
    '',
    row('key', 'is', 'default', 'means'),
    row('---', '---', '---', '---'),
    ...nested.flatMap(([name, property]) => rows(name, property, schema.required?.includes(name) === true)),
    '',
  ];
}

/** A key, and below it the keys of an object that is its value. */
function rows(name: string, property: Schema, isRequired: boolean): readonly string[] {
  const fallback = isRequired ? 'required' : defaultText(property);
  const own = row(`\`${name}\``, kindOf(property), fallback, property.description ?? '');
  const { additionalProperties: each } = property;
  const inner = property.properties ?? (typeof each === 'object' ? each.properties : undefined) ?? {};
  const required = property.required ?? (typeof each === 'object' ? each.required : undefined) ?? [];
  const path = property.properties === undefined ? `${name}.NAME` : name;
  return [
    own,
    ...Object.entries(inner).flatMap(([key, value]) => rows(`${path}.${key}`, value, required.includes(key))),
  ];
}

function defaultText({ default: value }: Schema): string {
  if (value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0)) {
    return '';
  }
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

function kindOf(schema: Schema): string {
  if (schema.anyOf !== undefined) return 'text or keys';
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(', ');
  if (schema.type === 'array') return 'list';
  if (schema.type === 'object') return 'keys';
  if (schema.type === 'boolean') return 'true or false';
  if (schema.type === 'integer') return 'number';
  if (schema.pattern?.includes('(?:s|m|h|d)') === true) return 'duration';
  return schema.pattern?.includes('KiB') === true ? 'size' : 'text';
}

function longForms(top: Schema, key: string): readonly Schema[] {
  return (top.properties?.[key]?.anyOf ?? []).filter((form) => form.type === 'object');
}

function storeForms(top: Schema): readonly Schema[] {
  const each = top.properties?.['stores']?.additionalProperties;
  return typeof each === 'object' ? (each.anyOf ?? []).filter((form) => form.type === 'object') : [];
}
