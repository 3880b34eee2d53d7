import { tmpdir } from 'node:os';
import { isTidemarkError } from '../../src/core/errors.ts';
import { must } from '../../src/core/must.ts';
import type { Position } from '../../src/core/position.ts';
import type { Clock, Run } from '../../src/core/run.ts';
import type { ObjectStore } from '../../src/objects/object-store.ts';
import { forward } from '../../src/objects/wrappers/forward.ts';
import type { RepositoryAccess } from '../../src/repository/access.ts';
import { newestBase, packKeysOf } from '../../src/repository/catalogue.ts';
import type { MarkRecord } from '../../src/repository/catalogue.ts';
import { objectsOf } from '../../src/repository/log-needs.ts';
import { segmentPackKeys } from '../../src/repository/log-view.ts';
import { RepositoryReader } from '../../src/repository/reader.ts';
import { neededBases, neededJournals, viewRepository } from '../../src/repository/sweep/view.ts';
import { checkInPlace } from '../../src/repository/verify/check-in-place.ts';
import { verifyRepository } from '../../src/repository/verify.ts';
import { openPoint } from '../../src/restore/point.ts';
import type { PointReader } from '../../src/restore/point.ts';
import { MemoryObjectStore } from '../../src/testing/memory-object-store.ts';
import type { StoreState } from './archive-stores.ts';
import type { ArchiveWorld, Photograph } from './archive-world.ts';
import { checkPins } from './checks.ts';
import { createMemoryChunkIndex } from './memory-chunk-index.ts';

export async function openReader(access: RepositoryAccess, run: Run): Promise<RepositoryReader> {
  return await RepositoryReader.open(
    {
      access,
      remembered: [],
      stateFolder: undefined,
      openIndex: async () => createMemoryChunkIndex(),
      extract: () => {
        throw new Error('not used here');
      },
    },
    run,
  );
}

/** Reads without faults and without delay. */
export async function openCalmReader({ world }: ArchiveWorld): Promise<RepositoryReader> {
  const access = world.access(0);
  // Where a chunk is not found, the reader looks for it with an index on disk.
  const runtime = { ...access.runtime, temporaryFolder: tmpdir() };
  return await openReader({ ...access, objects: world.memory, runtime }, world.run);
}

type Goal = { readonly history: string; readonly position: Position; readonly credential: string };

/** What is not as it was at a position; undefined when it restores exactly. @throws what the reader fails with */
export async function findDifference(
  archive: ArchiveWorld,
  reader: RepositoryReader,
  { history, position, credential }: Goal,
): Promise<string | undefined> {
  const { run } = archive.world;
  const expected = archive.store(history)?.stateAt(position);
  if (expected === undefined) return 'the store has never been there';
  const plan = reader.catalogue.histories.get(history)?.planTo({ position, credential });
  if (plan === undefined) return 'nothing leads there';
  using point = await (archive.protocol.openPoint ?? openPoint)(reader, plan, run);
  const found = await readState(point, run);
  archive.totals.restored += 1;
  return describeDifference(expected, found);
}

async function readState(point: PointReader, run: Run): Promise<StoreState> {
  const state = new Map<string, string>();
  for await (const entries of point.entries(run)) {
    for (const { name, attributes, content } of entries) {
      const bytes = content === undefined ? attributes : Buffer.concat(await Array.fromAsync(point.read(content, run)));
      state.set(Buffer.from(name).toString(), Buffer.from(bytes).toString());
    }
  }
  return state;
}

function describeDifference(expected: StoreState, found: StoreState): string | undefined {
  for (const name of new Set([...expected.keys(), ...found.keys()])) {
    const [wanted, is] = [expected.get(name), found.get(name)];
    if (wanted !== is) return `${name} is ${shown(is)} and was ${shown(wanted)}`;
  }
  return undefined;
}

function shown(value: string | undefined): string {
  return value?.slice(0, 20) ?? 'not there';
}

/** How a mark that is listed does not restore. */
export async function problemsOf(
  archive: ArchiveWorld,
  reader: RepositoryReader,
  record: MarkRecord,
): Promise<readonly string[]> {
  const problems: string[] = [];
  const { mark, credential } = record;
  const put = archive.marks.get(mark.id);
  // Whoever put or pinned it died before it was noticed that something of it had been taken: it is shown as what is left of it.
  const isExcused = !record.isConfirmed || reader.catalogue.ledger.forgotten.has(mark.id);
  for (const [history, position] of Object.entries(mark.positions)) {
    if (mark.missing.includes(history) && isExcused) continue;
    let problem: string | undefined;
    try {
      problem = await findDifference(archive, reader, { history, position, credential });
    } catch (error) {
      if (!isTidemarkError(error)) throw error;
      problem = error.message;
    }
    const ownPosition = put?.positions[history];
    // Of one that is not sure another form may have been put since.
    const isElsewhere = put !== undefined && record.isConfirmed && ownPosition?.resume !== position.resume;
    if (isElsewhere) problem ??= 'the mark stands elsewhere';
    if (problem === undefined) continue;
    problems.push(`mark ${mark.id}: ${history} at ${Number(position.order)} does not restore: ${problem}`);
  }
  return problems;
}

async function checkMark(archive: ArchiveWorld, reader: RepositoryReader, record: MarkRecord): Promise<void> {
  for (const problem of await problemsOf(archive, reader, record)) archive.world.violate(problem);
}

/** Right after a mark was put: it restores, and every mark that is owed is listed with what leads to it. */
export async function checkNow(archive: ArchiveWorld, id: string): Promise<void> {
  const { world } = archive;
  if (world.lags || archive.forgetting > 0) return;
  const owed = new Set(world.model.owed.map((mark) => mark.id));
  await using reader = await openCalmReader(archive);
  if (archive.forgetting > 0) return;
  const listed = new Map(reader.catalogue.marks.map((record) => [record.mark.id, record]));
  for (const markId of owed) {
    const record = listed.get(markId);
    const lacks = record === undefined ? 'gone' : lackOf(archive, record);
    if (lacks !== undefined) world.violate(`mark ${markId} was put, and now it is ${lacks}`);
  }
  const own = listed.get(id);
  if (own !== undefined) await checkMark(archive, reader, own);
}

function lackOf(archive: ArchiveWorld, { mark }: MarkRecord): string | undefined {
  const lacking = mark.missing.filter((name) => !(archive.marks.get(mark.id)?.missing.includes(name) ?? true));
  return lacking.length === 0 ? undefined : `without ${lacking.join(', ')}`;
}

/** In the end: what was said to be durable is there and restores exactly, and nothing looks damaged. */
export async function checkArchive(archive: ArchiveWorld): Promise<void> {
  const { world } = archive;
  await using reader = await openCalmReader(archive);
  const { catalogue } = reader;
  for (const { message } of catalogue.findings) world.violate(`damage: ${message}`);
  checkPins(world, catalogue);
  const listed = new Map(catalogue.marks.map((record) => [record.mark.id, record]));
  for (const { id } of world.model.owed) {
    const record = listed.get(id);
    const lacks = record === undefined ? 'gone' : lackOf(archive, record);
    if (lacks !== undefined) world.violate(`mark ${id} was put and is ${lacks}`);
  }
  for (const record of catalogue.marks) await checkMark(archive, reader, record);
  for (const [name, { credential, position }] of archive.durable) {
    const history = must(name.split(' ')[0], 'a history');
    // What another writer goes on with begins with a base of its own.
    if (newestBase(catalogue, history)?.credential !== credential) continue;
    const end = catalogue.histories.get(history)?.endOf(credential);
    // So does another lineage.
    if (end === undefined || end.lineage !== position.lineage || end.order >= position.order) continue;
    world.violate(`${history} was durable up to ${Number(position.order)} and ends at ${Number(end.order)}`);
  }
}

/** Only what something needs is left of records of the journal, bodies and packs. */
export async function checkLogGarbage({ world }: ArchiveWorld): Promise<void> {
  const access = { ...world.access(0), objects: world.memory };
  const view = await viewRepository({ access, remembered: [] }, undefined, world.run);
  const { catalogue } = view;
  const bases = [...neededBases(view)].flatMap((key) => catalogue.bases.get(key) ?? []);
  const journals = neededJournals(view);
  const segments = catalogue.segments.filter(({ key }) => journals.has(key));
  const allowed = new Set([
    ...journals,
    ...bases.flatMap((base) => [base.key, ...packKeysOf(base)]),
    ...segments.flatMap((segment) => [...objectsOf(segment), ...segmentPackKeys(segment)]),
  ]);
  const folders = ['packs', 'manifests', 'journal', 'logs', 'void', 'unpins', 'condemned'];
  for (const key of world.memory.keys()) {
    if (folders.includes(key.slice(0, key.indexOf('/'))) && !allowed.has(key)) world.violate(`${key} is left over`);
  }
}

/** Reads and lists of the first moment, and after so many of the second. */
function fromOneToTheOther({ first, second, calls }: Photograph, clock: Clock): ObjectStore {
  const [before, after] = [new MemoryObjectStore({ clock }), new MemoryObjectStore({ clock })];
  before.restore(first);
  after.restore(second);
  let left = calls;
  const now = (): ObjectStore => (left-- > 0 ? before : after);
  return {
    ...forward(after),
    read: (key, offset, into, run) => now().read(key, offset, into, run),
    stat: (key, run) => now().stat(key, run),
    list: (prefix, from, run) => now().list(prefix, from, run),
  };
}

/** A verifier that works while things are merged, given up and swept finds nothing damaged. */
export async function verifyPhotographs({ world, photographs, random, totals }: ArchiveWorld): Promise<void> {
  if (world.lags) return;
  const { clock, run } = world;
  for (const { first, second, calls } of photographs) {
    const access = world.access(0);
    const runtime = { ...access.runtime, temporaryFolder: tmpdir() };
    const seen = { ...access, runtime, objects: fromOneToTheOther({ first, second, calls }, clock) };
    const { damage } = await verifyRepository(
      {
        access: seen,
        remembered: [],
        share: 1,
        random: random.bytes,
        openChecker: async () => checkInPlace(seen),
        decoderOf: async () => undefined,
        onProgress: () => undefined,
      },
      run,
    );
    totals.verified += 1;
    for (const found of damage) world.violate(`verify finds ${JSON.stringify(found)}`);
  }
}
