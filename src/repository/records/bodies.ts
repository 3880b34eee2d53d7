import { isOrder } from '../../core/position.ts';
import type { Exactness, Position } from '../../core/position.ts';
import { STORE_NAME } from '../../core/store-name.ts';
import type { SkipReason, Skipped } from '../../core/recorder.ts';
import type { Mark } from '../mark.ts';
import { toBase64 } from '../format/json.ts';
import type { Json, JsonFields } from '../format/json.ts';

/** What every holder of a base's manifest may know. */
export type ManifestSummary = {
  readonly store: string;
  readonly history: string;
  /** Of whom the store is; absent in bases from before it was said here. */
  readonly application?: string | undefined;
  readonly logFrom: Position;
  readonly cut: Position;
  readonly exact: Exactness;
  readonly entries: number;
  readonly bytes: number;
  readonly startedAtMs: number;
  readonly createdAtMs: number;
};

/** What maintainers and readers know of a base. */
export type ManifestMaintenance = ManifestSummary & {
  readonly newBytes: number;
  readonly storedBytes: number;
  readonly skippedCount: number;
  readonly incompleteCount: number;
  /** Ids of all packs it needs, as hex, ascending; made anew each time. */
  readonly packs: readonly string[];
};

/** What only readers know of a base. */
export type ManifestContent = {
  readonly root: Uint8Array;
  readonly level: number;
  readonly application: string;
  readonly connector: string;
  readonly url: string;
  /** The application's manifest without secrets. */
  readonly manifest: string;
  readonly tool: string;
  readonly host: string;
  readonly skipped: readonly Skipped[];
};

const PACK_ID_BYTES = 32;
/** The most that a part of a position takes. */
const MAX_PART_BYTES = 64 * 1024;
const MARK_ID = /^[a-z0-9-]{1,100}$/;
const skipReasons: readonly SkipReason[] = ['unreadable', 'changed', 'vanished', 'special', 'too-long', 'filesystem'];

export function writePosition({ lineage, order, resume }: Position): Json {
  return { lineage, order, resume };
}

/** @throws REPOSITORY_DAMAGED, also when a part of it is larger than any is, or its order is no number */
export function readPosition(fields: JsonFields): Position {
  return {
    lineage: readPart(fields, 'lineage'),
    order: readOrder(fields),
    resume: readPart(fields, 'resume'),
  };
}

function readOrder(fields: JsonFields): string {
  const order = fields.text('order');
  if (isOrder(order)) return order;
  throw fields.wrong('order', 'the digits of a number below 2^64');
}

function readPart(fields: JsonFields, key: string): string {
  const text = fields.text(key);
  if (Buffer.byteLength(text) <= MAX_PART_BYTES) return text;
  throw fields.wrong(key, `a text of at most ${MAX_PART_BYTES} bytes`);
}

/** The name of a store, in the form that makes it fit for the name of a folder. @throws REPOSITORY_DAMAGED */
export function readStore(fields: JsonFields): string {
  return fields.formed('store', STORE_NAME, 'the name of a store');
}

export function writeSummary(summary: ManifestSummary): { readonly [key: string]: Json } {
  const { store, history, application, exact, entries, bytes, startedAtMs, createdAtMs } = summary;
  return {
    store,
    history,
    ...(application === undefined ? {} : { application }),
    logFrom: writePosition(summary.logFrom),
    cut: writePosition(summary.cut),
    exact,
    entries,
    bytes,
    startedAtMs,
    createdAtMs,
  };
}

export function readSummary(fields: JsonFields): ManifestSummary {
  return {
    store: readStore(fields),
    history: fields.text('history'),
    application: fields.optionalText('application'),
    logFrom: readPosition(fields.object('logFrom')),
    cut: readPosition(fields.object('cut')),
    exact: fields.oneOf('exact', ['position', 'time', 'observation']),
    entries: fields.count('entries'),
    bytes: fields.count('bytes'),
    startedAtMs: fields.number('startedAtMs'),
    createdAtMs: fields.number('createdAtMs'),
  };
}

export function writeMaintenance(body: ManifestMaintenance): Json {
  const { newBytes, storedBytes, skippedCount, incompleteCount } = body;
  const packs = toBase64(Buffer.from(body.packs.join(''), 'hex'));
  return { ...writeSummary(body), newBytes, storedBytes, skippedCount, incompleteCount, packs };
}

export function readMaintenance(fields: JsonFields): ManifestMaintenance {
  const packs = fields.laterBase64Items('packs', PACK_ID_BYTES);
  return {
    ...readSummary(fields),
    newBytes: fields.count('newBytes'),
    storedBytes: fields.count('storedBytes'),
    skippedCount: fields.count('skippedCount'),
    incompleteCount: fields.count('incompleteCount'),
    // Many bases with many packs each are read by every command, and hardly one is asked for these.
    get packs() {
      return packIds(packs());
    },
  };
}

/** Ids of packs as hex. @throws REPOSITORY_DAMAGED */
export function readPacks(fields: JsonFields): readonly string[] {
  return packIds(fields.base64Items('packs', PACK_ID_BYTES));
}

/** Ids of packs one after another, as hex. */
function packIds(raw: Uint8Array): readonly string[] {
  const bytes = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
  const ids: string[] = [];
  for (let at = 0; at + PACK_ID_BYTES <= bytes.byteLength; at += PACK_ID_BYTES) {
    ids.push(bytes.toString('hex', at, at + PACK_ID_BYTES));
  }
  return ids;
}

export function writeContent(body: ManifestContent): Json {
  const { level, application, connector, url, manifest, tool, host } = body;
  const skipped = body.skipped.map((item) => ({ ...item, name: toBase64(item.name) }));
  return {
    root: Buffer.from(body.root).toString('hex'),
    level,
    application,
    connector,
    url,
    manifest,
    tool,
    host,
    skipped,
  };
}

export function readContent(fields: JsonFields): ManifestContent {
  return {
    root: Buffer.from(fields.hex('root', 32), 'hex'),
    level: fields.count('level', 32),
    application: fields.text('application'),
    connector: fields.text('connector'),
    url: fields.text('url'),
    manifest: fields.text('manifest'),
    tool: fields.text('tool'),
    host: fields.text('host'),
    skipped: fields.objects('skipped').map((item) => ({
      name: item.base64('name'),
      reason: item.oneOf('reason', skipReasons),
      incomplete: item.flag('incomplete'),
      message: item.text('message'),
    })),
  };
}

/** What is said of each history, which in this version has the name of its store. */
function mapFields<T>(fields: JsonFields, read: (key: string) => T): Readonly<Record<string, T>> {
  return Object.fromEntries(fields.formedKeys(STORE_NAME, 'names of stores').map((key) => [key, read(key)]));
}

export function writeMark(mark: Mark): Json {
  const { id, tags, atMs, skewMs, bases, missing } = mark;
  const positions = Object.fromEntries(
    Object.entries(mark.positions).map(([key, value]) => [key, writePosition(value)]),
  );
  const floors = Object.entries(mark.floors ?? {}).map(([key, value]) => [key, writePosition(value)] as const);
  return {
    id,
    ...(mark.name === undefined ? {} : { name: mark.name }),
    tags,
    class: mark.class,
    atMs,
    skewMs,
    positions,
    bases,
    ...(floors.length === 0 ? {} : { floors: Object.fromEntries(floors) }),
    missing,
  };
}

/** @throws REPOSITORY_DAMAGED, also when an id or a name of a store has not the form that each has */
export function readMark(fields: JsonFields): Mark {
  const positions = fields.object('positions');
  const bases = fields.object('bases');
  const floors = fields.has('floors') ? fields.object('floors') : undefined;
  return {
    id: fields.formed('id', MARK_ID, 'up to 100 of a-z, 0-9 and -'),
    name: fields.optionalText('name'),
    tags: fields.texts('tags'),
    class: fields.oneOf('class', ['clock', 'sealed']),
    atMs: fields.number('atMs'),
    skewMs: fields.number('skewMs'),
    positions: mapFields(positions, (key) => readPosition(positions.object(key))),
    bases: mapFields(bases, (key) => bases.text(key)),
    ...(floors === undefined ? {} : { floors: mapFields(floors, (key) => readPosition(floors.object(key))) }),
    missing: fields.formedTexts('missing', STORE_NAME, 'names of stores'),
  };
}
