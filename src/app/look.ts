import type { Connector } from '../core/connector.ts';
import { TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import { baseAtMs } from '../repository/base-order.ts';
import type { MarkRecord } from '../repository/catalogue.ts';
import { baseOf, placeIn } from '../repository/log-needs.ts';
import type { MarkedPlace } from '../repository/log-needs.ts';
import { RepositoryReader } from '../repository/reader.ts';
import type { Point } from '../restore/point.ts';
import type { OpenApplication } from './application.ts';
import { storeNotes } from './mark-stores.ts';
import type { MeantStores } from './mark-stores.ts';
import { expectHead, lostHeads } from './rollback.ts';
import { ageText, isoTime } from './shown.ts';
import { resolveTarget } from './target.ts';

/** Opens the repository for reading and tells the operator what is wrong with it. `expectedHead`: `--expect-head`. */
export async function openReader(
  application: OpenApplication,
  options: { readonly expectedHead?: string | undefined },
  run: Run,
): Promise<RepositoryReader> {
  const access = await application.openAsReader(run);
  const remembered = await application.rememberedHeads(run);
  const reader = await RepositoryReader.open(
    { access, remembered, stateFolder: application.stateFolder, extract: application.context.engines.extract },
    run,
  );
  expectHead(reader.catalogue, options.expectedHead);
  if (remembered.length === 0 && options.expectedHead === undefined) tellOfFirstSight(application, reader);
  for (const { message } of reader.catalogue.findings) application.context.warn(message);
  if (lostHeads(reader.catalogue, remembered).length === 0 && reader.catalogue.findings.length === 0) {
    await application.rememberHeads(reader.catalogue.heads.frontier, run);
  }
  return reader;
}

/** A host that has seen nothing yet can't know whether something was taken back: it tells what there is. */
function tellOfFirstSight({ context }: OpenApplication, { catalogue }: RepositoryReader): void {
  const newest = catalogue.marks.at(-1)?.mark;
  if (newest === undefined) return;
  const age = ageText(context.runtime.clock.nowMs() - newest.atMs);
  context.warn(
    `this host sees the repository for the first time: its newest mark is ${newest.id}, ${age} old, its head ${catalogue.fingerprint}; --expect-head FINGERPRINT compares`,
  );
}

/** The zone of times without one. */
export function timezoneOf(application: OpenApplication): string {
  return application.context.configuration?.timezone ?? 'UTC';
}

/** The stores of the manifest; none without one. */
export function manifestStores({ context }: OpenApplication): readonly string[] {
  return context.configuration?.stores.map(({ name }) => name) ?? [];
}

/** `stores`: for which it is meant; none means all of the manifest. @throws as `resolveTarget` */
export function findMark(
  application: OpenApplication,
  reader: RepositoryReader,
  target: string,
  stores: readonly string[] = [],
): MarkRecord {
  const nowMs = application.context.runtime.clock.nowMs();
  const manifest = manifestStores(application);
  return resolveTarget(reader.catalogue, target, { nowMs, timezone: timezoneOf(application), stores, manifest });
}

/** Tells the operator of stores that the mark does not have although they may be meant. */
export function tellOfStores(
  application: OpenApplication,
  { catalogue }: RepositoryReader,
  record: MarkRecord,
  meant: Omit<MeantStores, 'manifest'>,
): void {
  const notes = storeNotes(catalogue.marks, record, { ...meant, manifest: manifestStores(application) });
  for (const note of notes) application.context.warn(note);
}

/** How a mark's position of a store is reached. @throws TARGET_UNKNOWN when it has none; REPOSITORY_DAMAGED when that is lost */
export function pointOf(reader: RepositoryReader, record: MarkRecord, store: string): Point {
  const { mark } = record;
  const place = placeIn(record, store);
  if (place === undefined) {
    const known = Object.keys(mark.positions).join(', ');
    throw new TidemarkError('TARGET_UNKNOWN', `mark ${mark.id} has no store ${store}`, { hint: `It has: ${known}.` });
  }
  const point = pointAt(reader, { store, ...place });
  if (point !== undefined) return point;
  const hint = 'Run `tidemark verify` to see what is damaged; the other stores of the mark can be restored.';
  const lost = place.base === undefined ? 'the base or the log' : 'the base';
  throw new TidemarkError(
    'REPOSITORY_DAMAGED',
    `${lost} of ${store} that mark ${mark.id} needs is damaged or gone (${place.base ?? place.position.resume})`,
    { hint },
  );
}

/** How a position is reached, from the base of that key or else the one from which it is. Undefined when it can't be. */
export function pointAt(
  { catalogue }: RepositoryReader,
  { store, ...place }: MarkedPlace & { readonly store: string },
): Point | undefined {
  const base = baseOf(catalogue, store, place);
  const plan = base && catalogue.histories.get(store)?.planFrom(base, place.position);
  return plan && { ...plan, floor: place.floor };
}

/** What can be looked into of a point: where only the engine understands the log, the base before it, which is told. */
export function shownPoint(
  { context }: OpenApplication,
  { log }: Pick<Connector<unknown>, 'log'>,
  point: Point,
): Point {
  const { store, cut } = point.base.summary;
  if (log !== 'bytes' || point.segments.length === 0) return point;
  context.warn(
    `${store} is shown as its base of ${isoTime(baseAtMs(point.base))} has it; what was changed after that is in its log, which only a restore applies`,
  );
  return { ...point, position: cut, segments: [] };
}

export type { RepositoryReader } from '../repository/reader.ts';
