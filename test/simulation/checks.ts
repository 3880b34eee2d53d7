import { tmpdir } from 'node:os';
import { equalBytes } from '../../src/core/bytes.ts';
import { isTidemarkError } from '../../src/core/errors.ts';
import { packKeysOf } from '../../src/repository/catalogue.ts';
import type { BaseRecord, Catalogue } from '../../src/repository/catalogue.ts';
import { RepositoryReader } from '../../src/repository/reader.ts';
import { sweep } from '../../src/repository/sweep.ts';
import { BARE_SESSIONS_KEPT, SUPERSEDED_LEDGERS_KEPT } from '../../src/repository/sweep/spare-records.ts';
import { neededBases, viewRepository } from '../../src/repository/sweep/view.ts';
import { createMemoryChunkIndex } from './memory-chunk-index.ts';
import { calm } from './world.ts';
import type { Actor, World } from './world.ts';

const SWEEPS_UNTIL_IDLE = 12;
/** Folders of which nothing is left that is not needed. */
const CHECKED = new Set(['packs', 'manifests', 'journal', 'void', 'pins', 'unpins', 'condemned']);

/** After everybody is done: sweeps until there is nothing to do, and leaves the leases behind. */
export async function sweepToTheEnd(world: World, actors: readonly Actor[]): Promise<void> {
  const sweeper = world.actor('last sweeper', 0, {
    faults: { ...calm, latencyMs: 2, leaseMs: world.leaseMs },
    narrow: false,
  });
  const heads = new Map(
    actors.flatMap(({ remembered }) => remembered).map((head) => [`${head.session} ${head.counter}`, head]),
  );
  sweeper.remembered = [...heads.values()];
  const info = { application: 'simulated', host: 'last', command: 'sweep', tool: 'simulation' };
  for (let turn = 0; turn < SWEEPS_UNTIL_IDLE; turn += 1) {
    await world.clock.sleep(2.5 * world.leaseMs, world.run);
    const { access, remembered } = sweeper;
    try {
      const report = await sweep({ access, remembered, info, apply: true }, world.run);
      sweeper.remembered = report.heads;
      if (report.condemned.length + report.removed.length === 0) return;
    } catch (error) {
      if (!isTidemarkError(error)) throw error;
      world.violate(`a sweep in peace fails: ${error.message}`);
      return;
    }
  }
  world.violate('sweeps find something to do without end');
}

/** Everything that is owed, and everything that is listed, restores byte by byte; nothing looks damaged, and nothing is pinned that was unpinned. */
export async function checkMarks(world: World): Promise<void> {
  const access = world.access(0);
  // Where a chunk is not found, the reader looks for it with an index on disk.
  const runtime = { ...access.runtime, temporaryFolder: tmpdir() };
  const reader = await RepositoryReader.open(
    {
      access: { ...access, objects: world.memory, runtime },
      remembered: [],
      stateFolder: undefined,
      openIndex: async () => createMemoryChunkIndex(),
      extract: () => {
        throw new Error('not used here');
      },
    },
    world.run,
  );
  await using _reader = reader;
  const { catalogue } = reader;
  for (const { message } of catalogue.findings) world.violate(`damage: ${message}`);
  checkPins(world, catalogue);
  const listed = new Map(catalogue.marks.map((record) => [record.mark.id, record.mark]));
  for (const { id, bases } of world.model.owed) {
    const mark = listed.get(id);
    if (mark === undefined) world.violate(`mark ${id} was committed and is gone`);
    else if (Object.entries(bases).some(([history, key]) => mark.bases[history] !== key)) {
      world.violate(`mark ${id} is another one`);
    }
  }
  for (const key of new Set(catalogue.marks.flatMap(({ mark }) => Object.values(mark.bases)))) {
    const base = catalogue.bases.get(key);
    const problem = base === undefined ? 'it is missing' : await findDifference(world, reader, base);
    if (problem !== undefined) world.violate(`base ${key} does not restore: ${problem}`);
  }
}

export function checkPins({ model, violations }: World, { pins }: Catalogue): void {
  for (const id of pins.keys()) if (model.free.has(id)) violations.push(`mark ${id} was unpinned and is pinned`);
}

async function findDifference(world: World, reader: RepositoryReader, record: BaseRecord): Promise<string | undefined> {
  const expected = world.model.contents.get(record.key);
  const names: string[] = [];
  try {
    const base = await reader.base(record, world.run);
    for await (const entries of base.entries(world.run)) {
      for (const { name, content } of entries) {
        const text = Buffer.from(name).toString();
        names.push(text);
        const found =
          content === undefined ? Buffer.alloc(0) : Buffer.concat(await Array.fromAsync(base.read(content, world.run)));
        if (expected !== undefined && !isEqual(expected.get(text), found)) return `${text} differs`;
      }
    }
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    return error.message;
  }
  return expected !== undefined && names.length !== expected.size ? 'entries are missing' : undefined;
}

function isEqual(wanted: Uint8Array | undefined, found: Uint8Array): boolean {
  return wanted !== undefined && equalBytes(found, wanted);
}

/** Only what something needs is left, but for the remainder that the format allows. */
export async function checkGarbage(world: World): Promise<void> {
  const access = { ...world.access(0), objects: world.memory };
  const view = await viewRepository({ access, remembered: [] }, undefined, world.run);
  const needed = neededBases(view);
  const { catalogue } = view;
  const bases = [...catalogue.bases.values()].filter(({ key }) => needed.has(key));
  const records = [...catalogue.marks.flatMap(({ heldBy }) => heldBy), ...[...catalogue.pins.values()].flat()];
  const allowed = new Set([...needed, ...bases.flatMap(packKeysOf), ...records]);
  for (const key of world.memory.keys()) {
    const folder = key.slice(0, key.indexOf('/'));
    if (CHECKED.has(folder) && !allowed.has(key)) world.violate(`${key} is left over`);
  }
  checkRemainder(world, catalogue);
}

function checkRemainder(world: World, { chains, ledgers, log }: Catalogue): void {
  if (log.beatKeys.length > 0) world.violate(`${log.beatKeys.length} beats are left over`);
  // The last sweep leaves its own.
  if (ledgers.length > SUPERSEDED_LEDGERS_KEPT + 4) world.violate(`${ledgers.length} ledgers are left over`);
  const bare = [...chains.values()].filter((chain) =>
    [...chain.values()].every(({ record }) => ['start', 'end'].includes(record.header.kind)),
  );
  if (bare.length > BARE_SESSIONS_KEPT + SWEEPS_UNTIL_IDLE) {
    world.violate(`${bare.length} empty sessions are left over`);
  }
}
