import assert from 'node:assert/strict';
import type { OpenApplication } from '../../src/app/application.ts';
import { readAt } from '../../src/app/browse.ts';
import { findMark, openReader, pointOf } from '../../src/app/look.ts';
import type { RepositoryReader } from '../../src/app/look.ts';
import { isoTime } from '../../src/app/shown.ts';
import { loadConnector } from '../../src/connectors/load.ts';
import { isTidemarkError } from '../../src/core/errors.ts';
import { must } from '../../src/core/must.ts';
import type { StoredEntry } from '../../src/core/restorer.ts';
import type { MarkRecord } from '../../src/repository/catalogue.ts';
import { markState } from '../../src/repository/mark.ts';
import type { Mark } from '../../src/repository/mark.ts';
import { openPoint } from '../../src/restore/point.ts';
import type { PointReader } from '../../src/restore/point.ts';
import { COUNTER, isAllowed, TURN } from './model.ts';
import type { KeyStore, Model, Span, Version } from './model.ts';
import { openShopApplication, run } from './opened.ts';
import { isFull } from './world.ts';
import type { World } from './world.ts';

/** Of how many files of a mark every byte is read. */
const FILES_READ = 8;
const TIMES = 100;
const QUICK_MARKS = 20;
const NEWEST = 3;

export type Checked = {
  readonly marks: readonly MarkRecord[];
  readonly complete: readonly MarkRecord[];
  readonly gaps: readonly { readonly store: string; readonly reason: string }[];
  /** Of a store, all of this host's writer. */
  bases(store: string): number;
};

/** Nothing is damaged, marks of the repository hold what they should, and those that were promised are there. */
export async function checkAll(
  world: World,
  model: Model,
  options: {
    readonly promised?: readonly string[];
    readonly skip?: (mark: MarkRecord) => boolean;
    /** False: the marks were taken by a clock that is not the writer's. */
    readonly isTimeKnown?: boolean;
  } = {},
): Promise<Checked> {
  await using application = await openShopApplication(world.shop);
  await using reader = await openReader(application, {}, run);
  const { catalogue } = reader;
  assert.deepEqual(catalogue.findings, []);
  const { marks } = catalogue;
  const ids = new Set(marks.map(({ mark }) => mark.id));
  // Two of one second may have one id.
  const places = new Set(marks.map(({ mark }) => `${mark.id} ${mark.atMs}`));
  assert.equal(places.size, marks.length, 'every mark is there once');
  const lost = (options.promised ?? []).filter((id) => !ids.has(id));
  assert.deepEqual(lost, [], 'marks that were promised');
  const checker = new MarkChecker(reader, model, world);
  for (const record of chosen(marks, world)) {
    if (options.skip?.(record) === true) continue;
    try {
      const { atMs, skewMs } = record.signed;
      const span = options.isTimeKnown === false ? ALWAYS : { fromMs: atMs - skewMs, toMs: atMs };
      await checker.check(record, span);
    } catch (cause) {
      const told = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`seed ${world.seed}, mark ${record.mark.id}: ${told.slice(0, 2000)}`, { cause });
    }
  }
  const complete = marks.filter(({ mark }) => markState(mark) === 'complete');
  if (options.isTimeKnown !== false) checkTimes(application, reader, complete, world);
  return {
    marks,
    complete,
    gaps: catalogue.gaps,
    bases: (store) => [...catalogue.bases.values()].filter(({ summary }) => summary.store === store).length,
  };
}

/** All of them at the full level; else some, the newest ones among them. */
function chosen(marks: readonly MarkRecord[], { random }: World): readonly MarkRecord[] {
  if (isFull || marks.length <= QUICK_MARKS) return marks;
  const some = new Set(random.shuffle([...marks]).slice(0, QUICK_MARKS));
  for (const newest of marks.slice(-NEWEST)) some.add(newest);
  return marks.filter((record) => some.has(record));
}

/** What a key or a file holds at a mark. */
export async function valueAt(world: World, mark: string, store: string, name: string): Promise<string | undefined> {
  await using application = await openShopApplication(world.shop);
  await using reader = await openReader(application, {}, run);
  const record = findMark(application, reader, mark);
  if (record.mark.positions[store] === undefined) return undefined;
  const pieces = await Array.fromAsync(
    readAt(application, reader, { target: mark, store, path: Buffer.from(name) }, run),
  );
  return Buffer.concat(pieces).toString();
}

/** The stores that a mark lacks. */
export async function missingIn(world: World, mark: string): Promise<readonly string[]> {
  await using application = await openShopApplication(world.shop);
  await using reader = await openReader(application, {}, run);
  return findMark(application, reader, mark).mark.missing;
}

/** A time means the newest complete mark at or before it, unless it lies in a gap. */
function checkTimes(
  application: OpenApplication,
  reader: RepositoryReader,
  complete: readonly MarkRecord[],
  { random }: World,
): void {
  const [first, last] = [complete.at(0), complete.at(-1)];
  if (first === undefined || last === undefined) return;
  for (let count = 0; count < TIMES; count++) {
    const atMs: number = first.mark.atMs + random.integer(last.mark.atMs - first.mark.atMs + 1000);
    const expected = complete.filter(({ mark }) => mark.atMs <= atMs);
    try {
      const found = findMark(application, reader, isoTime(atMs));
      assert.equal(found.mark.atMs, Math.max(...expected.map(({ mark }) => mark.atMs)), isoTime(atMs));
    } catch (error) {
      if (!isTidemarkError(error, 'TARGET_IN_GAP') || reader.catalogue.gaps.length === 0) throw error;
    }
  }
}

class MarkChecker {
  readonly #reader: RepositoryReader;
  readonly #model: Model;
  readonly #world: World;
  readonly #stores: ReadonlySet<string>;

  constructor(reader: RepositoryReader, model: Model, world: World) {
    this.#reader = reader;
    this.#model = model;
    this.#world = world;
    this.#stores = new Set(reader.catalogue.histories.keys());
  }

  async check(record: MarkRecord, span: Span): Promise<void> {
    const { signed } = record;
    const orders = await this.#keys(record, 'orders', span);
    const catalog = await this.#keys(record, 'catalog', span);
    const files = await this.#files(record, span);
    if (orders !== undefined && files !== undefined) this.#assertNothingDangles(orders, files, span);
    if (signed.class === 'sealed') this.#assertSealed(signed, { orders, catalog, files: files?.read });
  }

  async #keys(record: MarkRecord, store: KeyStore, span: Span): Promise<ReadonlyMap<string, string> | undefined> {
    const entries = await this.#at(record, store, async (point) => {
      const connector = await loadConnector('embedded');
      const found = new Map<string, string>();
      for await (const batch of point.entries(run)) {
        for (const entry of batch) {
          const value = must(connector.content(entry), 'the value of a key').read(point, run);
          found.set(textOf(entry.name), Buffer.concat(await Array.fromAsync(value)).toString());
        }
      }
      return found;
    });
    if (entries === undefined) return undefined;
    const turn = Number(entries.get(TURN) ?? 0);
    assert.deepEqual(
      sorted(entries),
      sorted(this.#model.stateAfter(store, turn)),
      `${store} after ${turn} transactions`,
    );
    const all = this.#model.transactions[store];
    const before = turn === 0 ? BEGINNING : must(all[turn - 1], 'the last transaction');
    assert.ok(
      isAllowed(span, { before, after: all[turn] }),
      `${store} stands at ${turn}, ${told(span, before, all[turn])}`,
    );
    return entries;
  }

  async #files(record: MarkRecord, span: Span): Promise<Files | undefined> {
    return await this.#at(record, 'uploads', async (point) => {
      const connector = await loadConnector('files');
      const present = new Map<string, StoredEntry>();
      for await (const batch of point.entries(run)) {
        for (const entry of batch) if (connector.describe(entry).type === 'file') present.set(pathOf(entry), entry);
      }
      const chosen = this.#world.random.shuffle([...present.keys()]).slice(0, FILES_READ);
      const always = [COUNTER, ...present.keys()].filter((path) => path === COUNTER || path.startsWith('rewritten'));
      const read = new Map<string, string>();
      for (const path of new Set([...chosen, ...always])) {
        const entry = present.get(path);
        const content = entry && connector.content(entry)?.read(point, run);
        if (content !== undefined) read.set(path, Buffer.concat(await Array.fromAsync(content)).toString());
      }
      for (const [path, versions] of this.#model.files) {
        const isThere = (content: string | undefined): boolean => {
          if (content === undefined) return !present.has(path);
          const known = read.get(path);
          return known === undefined ? present.get(path)?.content?.sizeBytes === content.length : known === content;
        };
        const allowed = allowedVersions(versions, span);
        if (allowed.some(({ content }) => isThere(content))) continue;
        const found = versions.findLast(({ content }) => content !== undefined && isThere(content));
        const what = present.has(path) ? `is of ${found === undefined ? 'no time' : spanText(found)}` : 'is not there';
        assert.fail(`${path} ${what}, ${told(span, ...allowed)}`);
      }
      return { present, read };
    });
  }

  async #at<Result>(
    record: MarkRecord,
    store: string,
    work: (point: PointReader) => Promise<Result>,
  ): Promise<Result | undefined> {
    if (record.mark.positions[store] === undefined) {
      if (!this.#stores.has(store)) return undefined;
      assert.ok(record.mark.missing.includes(store), `${store} is missing and not named`);
      return undefined;
    }
    using point = await openPoint(this.#reader, pointOf(this.#reader, record, store), run);
    return await work(point);
  }

  /** There was a moment at which all stood so; between two steps where the writer was paused, so that all are at one count. */
  #assertSealed({ id, positions }: Mark, { orders, catalog, files }: Held): void {
    const isPaused = positions['uploads'] !== undefined;
    const counts = [orders, catalog, ...(isPaused ? [files] : [])].map((store) => store?.get(COUNTER));
    if (isPaused) assert.equal(new Set(counts).size, 1, `${id} is sealed, and its counters are ${counts.join(', ')}`);
    const around = (
      [
        ['orders', orders],
        ['catalog', catalog],
      ] as const
    ).map(([store, entries]) => {
      const turn = Number(entries?.get(TURN) ?? 0);
      const all = this.#model.transactions[store];
      return { fromMs: all[turn - 1]?.fromMs ?? 0, toMs: all[turn]?.toMs ?? Number.POSITIVE_INFINITY };
    });
    const [latest, earliest] = [
      Math.max(...around.map(({ fromMs }) => fromMs)),
      Math.min(...around.map(({ toMs }) => toMs)),
    ];
    assert.ok(latest <= earliest + 1, `${id} is sealed, and at no moment all stood so`);
  }

  #assertNothingDangles(orders: ReadonlyMap<string, string>, { present }: Files, span: Span): void {
    for (const [row, path] of orders) {
      if (!row.startsWith('row/') || present.has(path)) continue;
      const [made, gone] = this.#model.files.get(path) ?? [];
      // What came and went while the mark was taken nobody can have seen.
      const isBetween =
        made !== undefined && gone !== undefined && made.toMs + 1 >= span.fromMs && gone.fromMs <= span.toMs;
      assert.ok(isBetween, `${row} names ${path}, which is not there, ${told(span, made, gone)}`);
    }
  }
}

type Held = Readonly<Record<KeyStore | 'files', ReadonlyMap<string, string> | undefined>>;

type Files = { readonly present: ReadonlyMap<string, StoredEntry>; readonly read: ReadonlyMap<string, string> };

const ALWAYS: Span = { fromMs: 0, toMs: Number.POSITIVE_INFINITY };
const BEGINNING: Version = { fromMs: 0, toMs: 0, content: undefined };

function allowedVersions(versions: readonly Version[], span: Span): readonly Version[] {
  const all = [BEGINNING, ...versions];
  return all.filter((before, index) => isAllowed(span, { before, after: all[index + 1] }));
}

function told(span: Span, ...others: readonly (Span | undefined)[]): string {
  const spans = others.map((other) => (other === undefined ? 'nothing' : spanText(other)));
  return `and the mark is of ${spanText(span)}: ${spans.join(', ')}`;
}

function spanText({ fromMs, toMs }: Span): string {
  return `${fromMs}–${toMs}`;
}

function sorted(map: ReadonlyMap<string, string>): readonly (readonly [string, string])[] {
  return [...map].toSorted(([left], [right]) => (left < right ? -1 : 1));
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

function pathOf({ name }: StoredEntry): string {
  return textOf(name).replaceAll('\0', '/');
}
