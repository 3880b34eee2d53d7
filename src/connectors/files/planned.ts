import type { BaseReader, StoredEntry } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { decodeAttributes } from './attributes.ts';
import { byteText, bytesOf, printablePath } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';
import type { Found } from './describe.ts';
import { describe } from './describe.ts';
import { decodeEntry } from './decode-entry.ts';
import { reasonOf } from './errors.ts';
import type { Notes } from './notes.ts';
import type { Patterns } from './patterns.ts';
import { TreeScan } from './scan.ts';
import { SkippedList } from './skipped.ts';
import type { PlannedEntry } from './tree-writer.ts';

/** An entry to restore; `found`: where it is now, when it is taken from the folder itself. */
export type Planned = { readonly entry: PlannedEntry; readonly found?: Found | undefined };

/** All that a base holds, in order; with `roots` only what lies there, and the folders that lead there. */
export async function* planBase(
  base: BaseReader,
  run: Run,
  roots?: readonly ByteText[],
): AsyncGenerator<readonly Planned[]> {
  for await (const batch of roots === undefined ? base.entries(run) : entriesBelow(base, roots, run)) {
    yield batch.map((stored) => {
      const attributes = decodeEntry(stored);
      return { entry: { name: stored.name, attributes, encoded: stored.attributes, origin: 'base', stored } };
    });
  }
}

/** What lies elsewhere is not read: it may be damaged. */
async function* entriesBelow(
  base: BaseReader,
  roots: readonly ByteText[],
  run: Run,
): AsyncGenerator<readonly StoredEntry[]> {
  const led = new Set<ByteText>();
  for (const path of roots) {
    const root = path.replaceAll('/', '\0');
    const leading: StoredEntry[] = [];
    for (const folder of foldersTo(root)) {
      if (led.has(folder)) continue;
      led.add(folder);
      const entry = await base.find(bytesOf(folder), run);
      if (entry !== undefined) leading.push(entry);
    }
    if (leading.length > 0) yield leading;
    for await (const batch of base.entries(run, { prefix: bytesOf(root) })) {
      const below = batch.filter(({ name }) => byteText(name) === root || isInside(byteText(name), root));
      if (below.length > 0) yield below;
    }
  }
}

/** The root of all, then each folder that leads to `name`. */
function* foldersTo(name: ByteText): Generator<ByteText> {
  yield '';
  for (let end = name.indexOf('\0'); end >= 0; end = name.indexOf('\0', end + 1)) yield name.slice(0, end);
}

export type PartialPlan = {
  readonly base: BaseReader;
  readonly only: Patterns;
  /** The folder as it is now, or undefined when there is none. */
  readonly target: ByteText | undefined;
  readonly notes: Notes;
};

/**
 * What `only` matches from the base, the rest from the folder as it is now, in order. A folder that only leads to something stays as it
 * is now, where it is a folder.
 */
export async function* planPart(
  { base, only, target, notes }: PartialPlan,
  run: Run,
): AsyncGenerator<readonly Planned[]> {
  const kept = target === undefined ? undefined : new KeptEntries(target, only, notes);
  for await (const chosen of chooseFromBase(base, only, run)) {
    const name = byteText(chosen.planned.entry.name);
    for (let before = kept?.before(name) ?? []; before.length > 0; before = kept?.before(name) ?? []) yield before;
    const same = kept?.take(name);
    if (same === undefined) {
      yield [chosen.planned];
    } else if (chosen.leading && same.entry.attributes.type === 'folder') {
      yield [same];
    } else {
      if (chosen.planned.entry.attributes.type !== 'folder') kept?.dropInside(name);
      notes.add(
        `${printablePath(name.replaceAll('\0', '/'))} is replaced: what was there does not fit the part that is restored`,
      );
      yield [chosen.planned];
    }
  }
  for (let rest = kept?.rest() ?? []; rest.length > 0; rest = kept?.rest() ?? []) {
    run.signal.throwIfAborted();
    yield rest;
  }
}

export type Chosen = { readonly planned: Planned; readonly leading: boolean };

/** What matches, each after the folders that lead to it. */
export async function* chooseFromBase(base: BaseReader, only: Patterns, run: Run): AsyncGenerator<Chosen> {
  let leading: Planned[] = [];
  for await (const batch of planBase(base, run, only.roots)) {
    for (const planned of batch) {
      const name = byteText(planned.entry.name);
      leading = leading.filter(({ entry }) => isInside(name, byteText(entry.name)));
      const isFolder = planned.entry.attributes.type === 'folder';
      if (name === '' || !only.match(name.replaceAll('\0', '/'), isFolder)) {
        if (isFolder) leading.push(planned);
        continue;
      }
      for (const folder of leading) yield { planned: folder, leading: true };
      leading = [];
      yield { planned, leading: false };
    }
  }
}

/** Whether `only` matches anything that the base holds. */
export async function matchesAny(base: BaseReader, only: Patterns, run: Run): Promise<boolean> {
  for await (const { leading } of chooseFromBase(base, only, run)) if (!leading) return true;
  return false;
}

function isInside(name: ByteText, folder: ByteText): boolean {
  return folder === '' || name.startsWith(`${folder}\0`);
}

const BATCH = 256;

/** The entries of the folder as it is now that `only` does not match, in order. */
class KeptEntries {
  readonly #scan: TreeScan;
  readonly #skipped = new SkippedList();
  readonly #notes: Notes;
  #queue: Found[] = [];
  #next = 0;
  #dropped: ByteText | undefined;

  constructor(target: ByteText, only: Patterns, notes: Notes) {
    this.#notes = notes;
    this.#scan = new TreeScan({
      root: target,
      selection: { include: undefined, exclude: only },
      oneFileSystem: false,
      cacheDirTag: false,
      excluded: new Set(),
      skipped: this.#skipped,
    });
  }

  /** The next ones before `name`, until there are none. */
  before(name: ByteText): Planned[] {
    return this.#batch((found) => found.name < name);
  }

  /** The one of that name, if it is the next. */
  take(name: ByteText): Planned | undefined {
    const found = this.#head();
    if (found?.name !== name) return undefined;
    this.#next++;
    const planned: Planned[] = [];
    this.#plan(found, planned);
    return planned[0];
  }

  dropInside(name: ByteText): void {
    this.#dropped = name;
  }

  /** The next ones, until there are none. */
  rest(): Planned[] {
    const planned = this.#batch(() => true);
    for (const { name, message } of planned.length === 0 ? this.#skipped.list() : []) {
      this.#notes.add(`${printablePath(byteText(name).replaceAll('\0', '/'))} is there now and not kept: ${message}`);
    }
    return planned;
  }

  #batch(wanted: (found: Found) => boolean): Planned[] {
    const planned: Planned[] = [];
    for (
      let found = this.#head();
      found !== undefined && planned.length < BATCH && wanted(found);
      found = this.#head()
    ) {
      this.#next++;
      this.#plan(found, planned);
    }
    return planned;
  }

  #head(): Found | undefined {
    while (this.#next === this.#queue.length) {
      const items = this.#scan.next(BATCH);
      if (items === undefined) return undefined;
      this.#queue = items.map(({ found }) => found);
      this.#next = 0;
    }
    return this.#queue[this.#next];
  }

  #plan(found: Found, into: Planned[]): void {
    if (this.#dropped !== undefined && isInside(found.name, this.#dropped)) return;
    const report = (cause: unknown): void => this.#skipped.add(found.name, 'unreadable', reasonOf(cause));
    try {
      const { attributes: encoded } = describe(found, true, report);
      const attributes = decodeAttributes(encoded);
      into.push({ entry: { name: bytesOf(found.name), attributes, encoded, origin: 'target' }, found });
    } catch (error) {
      report(error);
    }
  }
}
