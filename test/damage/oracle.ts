import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isTidemarkError } from '../../src/core/errors.ts';
import type { TidemarkError } from '../../src/core/errors.ts';
import { must } from '../../src/core/must.ts';
import type { BaseReader, FileTarget, StoredEntry } from '../../src/core/restorer.ts';
import type { Catalogue, MarkRecord } from '../../src/repository/catalogue.ts';
import type { Extractor } from '../../src/repository/base-reader.ts';
import { extractInPlace } from '../../src/repository/extract/in-place.ts';
import type { RepositoryReader } from '../../src/repository/reader.ts';
import { openPoint } from '../../src/restore/point.ts';
import type { FixtureStore } from '../../src/testing/repository-fixture.ts';
import type { World } from './world.ts';

/** What came of restoring one base: all of it, or what could not be read. `wrong`: what came back was not what went in. */
export type BaseOutcome = {
  readonly isWhole: boolean;
  /** Its tree could not be walked to the end. */
  readonly walkFailed: boolean;
  readonly wrong: readonly string[];
  /** Names of which nothing could be had, of a base that is not whole. */
  readonly lostNames: ReadonlySet<string>;
};

export type Lost = { readonly mark: string; readonly store: string };

export type Outcome = {
  /** Why nothing at all could be read. */
  readonly refused?: TidemarkError | undefined;
  readonly catalogue?: Catalogue | undefined;
  readonly bases: ReadonlyMap<string, BaseOutcome>;
  readonly lost: readonly Lost[];
  /** Anything that must never happen, whatever was damaged. */
  readonly faults: readonly string[];
};

/** Restores every store of every mark as a host would that knows the passphrase and remembers heads, and compares every byte. */
export async function restoreAll(world: World, extract?: Extractor): Promise<Outcome> {
  const { fixture } = world;
  const bases = new Map<string, BaseOutcome>();
  const lost: Lost[] = [];
  const faults: string[] = [];
  try {
    await using reader = await fixture.openReader({
      remembered: fixture.remembered,
      extract: extract ?? extractInPlace,
    });
    const { catalogue } = reader;
    for (const mark of world.marks) {
      const found = catalogue.marks.find((record) => record.mark.id === mark.id);
      if (found === undefined && catalogue.findings.length === 0) faults.push(`mark ${mark.id} is gone without a word`);
      for (const [store, key] of Object.entries(mark.bases)) {
        const isThere = found !== undefined && catalogue.bases.has(key);
        if (!isThere || !(await outcomeOf(world, { reader, key, bases })).isWhole) lost.push({ mark: mark.id, store });
      }
      for (const store of mark.logged) {
        if (!(await restorePoint(world, { reader, found, store, bases }))) lost.push({ mark: mark.id, store });
      }
    }
    for (const { mark } of catalogue.marks) {
      for (const key of Object.values(mark.bases)) {
        if (catalogue.bases.has(key)) await outcomeOf(world, { reader, key, bases });
      }
    }
    for (const [key, { wrong }] of bases) faults.push(...wrong.map((what) => `${key}: ${what}`));
    return { catalogue, bases, lost, faults };
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    const all = world.marks.flatMap((mark) => Object.keys(mark.bases).map((store) => ({ mark: mark.id, store })));
    return { refused: error, bases, lost: all, faults };
  }
}

type BaseToRestore = {
  readonly reader: RepositoryReader;
  readonly key: string;
  readonly bases: Map<string, BaseOutcome>;
};

async function outcomeOf(world: World, { reader, key, bases }: BaseToRestore): Promise<BaseOutcome> {
  const known = bases.get(key);
  if (known !== undefined) return known;
  const record = must(reader.catalogue.bases.get(key), 'a base of the catalogue');
  const original = must(world.originals.get(key), 'a base that was made of something');
  let outcome: BaseOutcome = { isWhole: false, walkFailed: true, wrong: [], lostNames: new Set(original.keys()) };
  try {
    outcome = await restoreBase(world, await reader.base(record, world.fixture.run), original);
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
  }
  bases.set(key, outcome);
  return outcome;
}

/** As `outcomeOf`, of a store that a log leads to; whether all of it came back. */
async function restorePoint(
  world: World,
  options: {
    readonly reader: RepositoryReader;
    readonly found: MarkRecord | undefined;
    readonly store: string;
    readonly bases: Map<string, BaseOutcome>;
  },
): Promise<boolean> {
  const { reader, found, store, bases } = options;
  const position = found?.mark.positions[store];
  if (found === undefined || position === undefined || found.mark.missing.includes(store)) return false;
  const plan = reader.catalogue.histories.get(store)?.planTo({ position, credential: found.credential });
  if (plan === undefined) return false;
  const key = `${found.mark.id} ${store}`;
  const original = must(world.originals.get(key), 'what was there');
  let outcome: BaseOutcome = { isWhole: false, walkFailed: false, wrong: [], lostNames: new Set(original.keys()) };
  try {
    using point = await openPoint(reader, plan, world.fixture.run);
    outcome = await restoreBase(world, point, original);
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
  }
  bases.set(key, outcome);
  return outcome.isWhole;
}

async function restoreBase(world: World, base: BaseReader, original: FixtureStore): Promise<BaseOutcome> {
  const { run } = world.fixture;
  const wrong: string[] = [];
  const lostNames = new Set<string>();
  const entries: StoredEntry[] = [];
  let walkFailed = false;
  try {
    for await (const batch of base.entries(run)) entries.push(...batch);
    if (entries.length !== original.size) wrong.push(`${entries.length} entries instead of ${original.size}`);
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    walkFailed = true;
    entries.length = 0;
    for (const name of original.keys()) {
      const entry = await findOrNothing(world, base, name);
      if (entry === undefined) lostNames.add(name);
      else entries.push(entry);
    }
  }
  for (const { name, attributes, content } of entries) {
    const text = Buffer.from(name).toString('latin1');
    const expected = original.get(text);
    const same =
      expected !== undefined &&
      Buffer.compare(expected.attributes, attributes) === 0 &&
      content?.sizeBytes === expected.content?.byteLength;
    if (!same) wrong.push(`${JSON.stringify(text)} is not as it was`);
  }
  const contents = await restoreContents(world, base, { entries, original });
  wrong.push(...contents.wrong);
  for (const name of contents.lost) lostNames.add(name);
  return { isWhole: !walkFailed && lostNames.size === 0 && wrong.length === 0, walkFailed, wrong, lostNames };
}

async function findOrNothing(world: World, base: BaseReader, name: string): Promise<StoredEntry | undefined> {
  try {
    return must(await base.find(Buffer.from(name, 'latin1'), world.fixture.run), `entry ${JSON.stringify(name)}`);
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    return undefined;
  }
}

/** Extracts into files, as a restore does, and reads these back. */
async function restoreContents(
  world: World,
  base: BaseReader,
  { entries, original }: { readonly entries: readonly StoredEntry[]; readonly original: FixtureStore },
): Promise<{ readonly wrong: readonly string[]; readonly lost: readonly string[] }> {
  const wrong: string[] = [];
  const lost: string[] = [];
  const filled = entries.filter(({ content }) => content !== undefined);
  if (filled.length === 0) return { wrong, lost };
  const folder = mkdtempSync(join(world.fixture.runtime.temporaryFolder, 'restored-'));
  const finish = { mode: 0o600, mtimeNs: 0n, atimeNs: 0n };
  const targets = filled.map((entry, number): FileTarget<string> => {
    const path = Buffer.from(join(folder, String(number)));
    return {
      tag: Buffer.from(entry.name).toString('latin1'),
      entry,
      path,
      fileSizeBytes: entry.content?.sizeBytes ?? 0,
      finish,
    };
  });
  try {
    const source = (async function* () {
      yield targets;
    })();
    for await (const results of base.extract(source, world.fixture.run)) {
      for (const { tag, error } of results) {
        if (error === undefined) continue;
        assert.ok(isTidemarkError(error), 'a file fails with an error of ours');
        lost.push(tag);
      }
    }
    const failed = new Set(lost);
    for (const { tag, path } of targets.filter((target) => !failed.has(target.tag))) {
      const expected = must(original.get(tag)?.content, 'an entry with content');
      if (Buffer.compare(readFileSync(Buffer.from(path)), expected) !== 0) {
        wrong.push(`${JSON.stringify(tag)} has other bytes`);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return { wrong, lost };
}
