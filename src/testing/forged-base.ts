import { must } from '../core/must.ts';
import { orderOf } from '../core/position.ts';
import { loadCatalogue } from '../repository/catalogue.ts';
import { newMarkId } from '../repository/mark.ts';
import { parsePackKey } from '../repository/format/names.ts';
import type { SectionName } from '../repository/format/record.ts';
import { writeContent, writeMaintenance, writeMark, writeSummary } from '../repository/records/bodies.ts';
import { Session } from '../repository/records/session.ts';
import type { ChunkPacks } from './chunk-packs.ts';
import type { RepositoryFixture } from './repository-fixture.ts';

export type ForgedBase = {
  readonly store: string;
  readonly root: Uint8Array;
  readonly level: number;
  readonly entries: number;
  readonly bytes: number;
  /** Keys of packs. */
  readonly packs: readonly string[];
  /** Sections that its manifest lacks. */
  readonly without?: SectionName | undefined;
};

export type ForgedMark = { readonly mark: string; readonly manifest: string };

/** Signs a base that says whatever it is told to, and a mark that names it: what a writer with a fault or bad intentions could do. */
export async function forgeBase(fixture: RepositoryFixture, packs: ChunkPacks, base: ForgedBase): Promise<ForgedMark> {
  const { run, runtime } = fixture;
  const credential = must(packs.access.writer, 'a writer');
  const info = { application: 'test', host: 'forger', command: 'backup', tool: 'tidemark test' };
  const { heads } = await loadCatalogue(packs.access, [], run);
  const session = await Session.open({ access: packs.access, credential, heads: heads.frontier, info }, run);
  const atMs = fixture.clock.nowMs();
  const cut = { lineage: 'forged', order: orderOf(atMs), resume: String(atMs) };
  const summary = {
    store: base.store,
    history: base.store,
    logFrom: cut,
    cut,
    exact: 'position',
    entries: base.entries,
    bytes: base.bytes,
    startedAtMs: atMs,
    createdAtMs: atMs,
  } as const;
  const ids = base.packs.map((key) => must(parsePackKey(key), 'the key of a pack').packId).toSorted();
  const manifest = { newBytes: 0, storedBytes: 0, skippedCount: 0, incompleteCount: 0, packs: ids };
  const content = {
    root: base.root,
    level: base.level,
    application: 'test',
    connector: 'test',
    url: 'test:',
    manifest: '',
    tool: '',
    host: '',
    skipped: [],
  };
  const sections = [
    { name: 'maintenance', value: writeMaintenance({ ...summary, ...manifest }) },
    { name: 'content', value: writeContent(content) },
    { name: 'writer', value: writeSummary(summary) },
  ] as const;
  const record = await session.put(
    'manifest',
    sections.filter(({ name }) => name !== base.without),
    run,
  );
  const id = newMarkId(atMs, runtime.random(4));
  const mark = {
    id,
    tags: [],
    class: 'clock',
    atMs,
    skewMs: 0,
    positions: { [base.store]: cut },
    bases: { [base.store]: record.key },
    missing: [],
  } as const;
  await session.put('journal', [{ name: 'maintenance', value: { marks: [writeMark(mark)] } }], run);
  await session.end(run);
  await fixture.clock.advance(1000);
  return { mark: id, manifest: record.key };
}
