import { must } from '../../src/core/must.ts';
import type { ObjectStore } from '../../src/objects/object-store.ts';
import { RepositoryBaseReader } from '../../src/repository/base-reader.ts';
import { BlockSource } from '../../src/repository/block-source.ts';
import { packKeysOf } from '../../src/repository/catalogue.ts';
import { objectsOf } from '../../src/repository/log-needs.ts';
import { segmentPackKeys } from '../../src/repository/log-view.ts';
import { extractInPlace } from '../../src/repository/extract/in-place.ts';
import type { World } from './world.ts';

export type ByteRange = { readonly key: string; readonly from: number; readonly to: number };

/** What a store of a mark, or one entry of a base, was read from while nothing was damaged. */
export type Dependencies = {
  /** By `MARK STORE`: keys of all objects that it takes. */
  readonly objects: ReadonlyMap<string, ReadonlySet<string>>;
  /** By base and name: the bytes of packs that it takes to find and read that entry alone. Of large bases not every entry is in. */
  readonly entries: ReadonlyMap<string, ReadonlyMap<string, readonly ByteRange[]>>;
};

const ENTRIES_LOOKED_AT = 60;

export async function findDependencies(world: World): Promise<Dependencies> {
  return { objects: objectsOfMarks(world), entries: await rangesOfEntries(world) };
}

function objectsOfMarks({ marks, catalogue, fixture }: World): ReadonlyMap<string, ReadonlySet<string>> {
  const keys = fixture.memory.keys().filter((key) => key === 'tidemark.json' || key.startsWith('keys/'));
  const objects = new Map<string, ReadonlySet<string>>();
  for (const { id, key: journal, bases, logged } of marks) {
    const signer = must(catalogue.log.byKey.get(journal), 'the journal object').record.header.credential;
    for (const store of logged) {
      const record = must(
        catalogue.marks.find(({ mark }) => mark.id === id),
        'a mark',
      );
      const position = must(record.mark.positions[store], 'a position');
      const plan = must(catalogue.histories.get(store)?.planTo({ position, credential: signer }), 'a plan');
      const { base } = plan;
      const ofLog = plan.segments.flatMap((segment) => [...objectsOf(segment), ...segmentPackKeys(segment)]);
      const own = [`credentials/${signer}`, journal, base.key, ...packKeysOf(base), ...ofLog];
      objects.set(`${id} ${store}`, new Set([...keys, ...own]));
    }
    for (const [store, manifest] of Object.entries(bases)) {
      const base = must(catalogue.bases.get(manifest), 'the base of a mark');
      const credentials = [signer, base.credential].map((credential) => `credentials/${credential}`);
      objects.set(`${id} ${store}`, new Set([...keys, ...credentials, journal, manifest, ...packKeysOf(base)]));
    }
  }
  return objects;
}

async function rangesOfEntries(world: World): Promise<ReadonlyMap<string, ReadonlyMap<string, readonly ByteRange[]>>> {
  const { fixture } = world;
  let ranges: ByteRange[] = [];
  const { memory } = fixture;
  const recording: ObjectStore = {
    url: memory.url,
    capabilities: memory.capabilities,
    create: (key, body, run) => memory.create(key, body, run),
    stat: (key, run) => memory.stat(key, run),
    list: (prefix, after, run) => memory.list(prefix, after, run),
    delete: (keys, run) => memory.delete(keys, run),
    nowMs: (run) => memory.nowMs(run),
    async read(key, offset, into, run) {
      const count = await memory.read(key, offset, into, run);
      ranges.push({ key, from: offset, to: offset + count });
      return count;
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
  const entries = new Map<string, ReadonlyMap<string, readonly ByteRange[]>>();
  await using reader = await fixture.openReader({ objects: recording });
  for (const base of reader.catalogue.bases.values()) {
    const { keys, index } = await reader.source(base.credential, fixture.run);
    const { root, level } = reader.content(base);
    const names = [...must(world.originals.get(base.key) ?? new Map<string, unknown>(), 'an original').keys()];
    const step = Math.max(1, Math.floor(names.length / ENTRIES_LOOKED_AT));
    const byName = new Map<string, readonly ByteRange[]>();
    for (const name of names.filter((_, at) => at % step === 0)) {
      ranges = [];
      // A source of its own, so that nothing that another entry needed is in a cache.
      await using source = new BlockSource({
        access: { ...fixture.owner, objects: recording },
        credential: base.credential,
        keys,
        index,
      });
      const { entries: count, bytes } = base.summary;
      const tree = new RepositoryBaseReader({
        source,
        root: { root, level, entries: count, bytes },
        extract: extractInPlace,
      });
      const entry = must(await tree.find(Buffer.from(name, 'latin1'), fixture.run), 'an entry');
      if (entry.content !== undefined) for await (const _ of tree.read(entry.content, fixture.run)) continue;
      byName.set(name, ranges);
    }
    entries.set(base.key, byName);
  }
  return entries;
}
