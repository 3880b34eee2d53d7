import { createHash } from 'node:crypto';
import { compareBytes, equalBytes, toHex } from '../core/bytes.ts';
import { firstIndex } from '../core/first-index.ts';
import { must } from '../core/must.ts';
import type { BaseReader, StoredContent, StoredEntry } from '../core/restorer.ts';
import type { Run } from '../core/run.ts';
import { isSameContent } from './base-reader.ts';
import type { NodePlace, RepositoryBaseReader } from './base-reader.ts';

/** A base to be compared, and its writer: only what one writer wrote has the same ids. */
export type ComparedBase = { readonly reader: RepositoryBaseReader; readonly credential: string };

/** One state of a name, and the bases that hold it so, by their numbers in the list. */
export type HeldState = { readonly entry: StoredEntry; readonly bases: readonly number[] };

/** A name and all its states among the bases; those of two writers are never taken for the same. */
export type HeldName = { readonly name: Uint8Array; readonly states: readonly HeldState[] };

/** A name that is not the same in two bases; `undefined` on the side that lacks it. `sameContent`: the bytes are the same. */
export type EntryDifference = {
  readonly name: Uint8Array;
  readonly before: StoredEntry | undefined;
  readonly after: StoredEntry | undefined;
  readonly sameContent: boolean;
};

const BATCH = 256;

/**
 * All names of several bases, ascending, each once. A subtree that several bases share is read once. `skipCommon`: what all of them hold in the
 * same state is left out, and a subtree that all share is not read at all. Memory: one node a level and base.
 */
export async function* walkBases(
  bases: readonly ComparedBase[],
  options: { readonly skipCommon: boolean },
  run: Run,
): AsyncGenerator<readonly HeldName[]> {
  const waiting = new CursorQueue();
  for (const [index, base] of bases.entries()) waiting.add(new Cursor(base, index));
  let batch: HeldName[] = [];
  for (let group = waiting.takeFirst(); group.length > 0; group = waiting.takeFirst()) {
    run.signal.throwIfAborted();
    const isCommon = (holders: readonly number[]): boolean => options.skipCommon && holders.length === bases.length;
    const nodes = group.filter((cursor) => cursor.node !== undefined);
    if (nodes.length > 0) {
      await descend(nodes, isCommon, run);
    } else {
      const states = statesOf(group);
      const [first] = states;
      if (first !== undefined && !(states.length === 1 && isCommon(first.bases))) {
        batch.push({ name: first.entry.name, states });
      }
      for (const cursor of group) cursor.next();
    }
    for (const cursor of group) waiting.add(cursor);
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/** What is not the same in two bases, names ascending. Contents of two writers are read to compare them. */
export async function* diffBases(
  before: ComparedBase,
  after: ComparedBase,
  run: Run,
): AsyncGenerator<readonly EntryDifference[]> {
  for await (const batch of walkBases([before, after], { skipCommon: true }, run)) {
    const differences: EntryDifference[] = [];
    for (const { name, states } of batch) {
      const left = stateIn(states, 0);
      const right = stateIn(states, 1);
      const sameContent =
        left !== undefined && right !== undefined && (await holdSame(before, after, [left, right], run));
      const isSame = sameContent && equalBytes(left.attributes, right.attributes);
      if (!isSame) differences.push({ name, before: left, after: right, sameContent });
    }
    if (differences.length > 0) yield differences;
  }
}

/** Reads the highest nodes of a group that begins with the same name: each once for all that share it. */
async function descend(
  nodes: readonly Cursor[],
  isCommon: (holders: readonly number[]) => boolean,
  run: Run,
): Promise<void> {
  const level = Math.max(...nodes.map(({ node }) => node?.level ?? 0));
  const shared = new Map<string, Cursor[]>();
  for (const cursor of nodes) {
    if (cursor.node?.level !== level) continue;
    const key = `${cursor.credential} ${toHex(cursor.node.id)}`;
    shared.set(key, [...(shared.get(key) ?? []), cursor]);
  }
  for (const cursors of shared.values()) {
    const holders = cursors.flatMap(({ holders: own }) => own);
    const [reading, ...others] = cursors;
    for (const other of others) other.next();
    if (isCommon(holders)) reading?.next();
    else await reading?.descend(holders, run);
  }
}

function statesOf(group: readonly Cursor[]): readonly HeldState[] {
  const states: { readonly entry: StoredEntry; readonly credential: string; bases: readonly number[] }[] = [];
  for (const { entry: found, holders, credential } of group) {
    const entry = must(found, 'an entry, as no cursor is before a node');
    const known = states.find((state) => state.credential === credential && isSameEntry(state.entry, entry));
    if (known === undefined) states.push({ entry, credential, bases: holders });
    else known.bases = [...known.bases, ...holders];
  }
  return states.map(({ entry, bases }) => ({ entry, bases: bases.toSorted((left, right) => left - right) }));
}

/** Of one writer. */
export function isSameEntry(left: StoredEntry, right: StoredEntry): boolean {
  return equalBytes(left.attributes, right.attributes) && isSameContent(left.content, right.content);
}

function stateIn(states: readonly HeldState[], base: number): StoredEntry | undefined {
  return states.find(({ bases }) => bases.includes(base))?.entry;
}

/** Whether two entries hold the same content. Only of two writers it has to be read. */
export async function holdSame(
  before: { readonly reader: BaseReader; readonly credential: string },
  after: { readonly reader: BaseReader; readonly credential: string },
  [left, right]: readonly [StoredEntry, StoredEntry],
  run: Run,
): Promise<boolean> {
  if (left.content === undefined || right.content === undefined) return left.content === right.content;
  if (left.content.sizeBytes !== right.content.sizeBytes) return false;
  if (before.credential === after.credential) return isSameContent(left.content, right.content);
  return (await digestOf(before.reader, left.content, run)) === (await digestOf(after.reader, right.content, run));
}

async function digestOf(reader: BaseReader, content: StoredContent, run: Run): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of reader.read(content, run)) hash.update(piece);
  return hash.digest('hex');
}

/** `holders`: the bases that have what this frame lists, which is shared. */
type Frame = { readonly holders: readonly number[]; readonly items: readonly (NodePlace | StoredEntry)[]; at: number };

/** Goes through one base: before a node, which may be skipped or opened, or before an entry. */
class Cursor {
  readonly credential: string;
  readonly #reader: RepositoryBaseReader;
  readonly #frames: Frame[];

  constructor({ reader, credential }: ComparedBase, base: number) {
    this.#reader = reader;
    this.credential = credential;
    this.#frames = [{ holders: [base], items: [reader.root], at: 0 }];
  }

  get name(): Uint8Array {
    const item = this.#item;
    // Nothing is known yet of the root, which begins before everything.
    return (isNode(item) ? item.first : item?.name) ?? new Uint8Array(0);
  }

  get node(): NodePlace | undefined {
    const item = this.#item;
    return isNode(item) ? item : undefined;
  }

  get entry(): StoredEntry | undefined {
    const item = this.#item;
    return isNode(item) ? undefined : item;
  }

  get holders(): readonly number[] {
    return this.#frames.at(-1)?.holders ?? [];
  }

  get isAtEnd(): boolean {
    return this.#item === undefined;
  }

  next(): void {
    const frame = must(this.#frames.at(-1), 'a cursor that is not at its end');
    frame.at += 1;
    while ((this.#frames.at(-1)?.at ?? 0) >= (this.#frames.at(-1)?.items.length ?? 1)) this.#frames.pop();
  }

  /** Opens the node, on behalf of `holders`. */
  async descend(holders: readonly number[], run: Run): Promise<void> {
    const place = must(this.node, 'a node to open');
    const { entries, children } = await this.#reader.open(place, run);
    this.next();
    const items = place.level === 0 ? entries : children;
    if (items.length > 0) this.#frames.push({ holders, items, at: 0 });
  }

  get #item(): NodePlace | StoredEntry | undefined {
    const frame = this.#frames.at(-1);
    return frame?.items[frame.at];
  }
}

function isNode(item: NodePlace | StoredEntry | undefined): item is NodePlace {
  return item !== undefined && 'level' in item;
}

/** Cursors by their names: those before the first name are taken together. */
class CursorQueue {
  /** Descending, so that the first ones are at the end. */
  readonly #cursors: Cursor[] = [];

  /** A cursor at its end is left out. */
  add(cursor: Cursor): void {
    if (cursor.isAtEnd) return;
    const { name } = cursor;
    const at = firstIndex(this.#cursors.length, (index) => {
      const other = must(this.#cursors[index], 'a cursor in the list');
      return compareBytes(other.name, name) <= 0;
    });
    this.#cursors.splice(at, 0, cursor);
  }

  /** Empty when all are at their ends. */
  takeFirst(): readonly Cursor[] {
    const first = this.#cursors.at(-1);
    if (first === undefined) return [];
    const taken: Cursor[] = [];
    for (let next = this.#cursors.at(-1); next !== undefined && equalBytes(next.name, first.name); ) {
      taken.push(next);
      this.#cursors.pop();
      next = this.#cursors.at(-1);
    }
    return taken;
  }
}
