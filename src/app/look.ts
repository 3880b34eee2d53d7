import { TidemarkError } from '../core/errors.ts';
import type { BaseReader } from '../core/restorer.ts';
import type { Run } from '../core/run.ts';
import type { BaseRecord, MarkRecord } from '../repository/catalogue.ts';
import { RepositoryReader } from '../repository/reader.ts';
import type { OpenApplication } from './application.ts';
import { expectHead, lostHeads } from './rollback.ts';
import { ageText } from './shown.ts';
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

export function findMark(application: OpenApplication, reader: RepositoryReader, target: string): MarkRecord {
  const nowMs = application.context.runtime.clock.nowMs();
  return resolveTarget(reader.catalogue, target, { nowMs, timezone: timezoneOf(application) });
}

/** The base that a mark has of a store. @throws TARGET_UNKNOWN when it has none; REPOSITORY_DAMAGED when it is lost */
export function baseOf(reader: RepositoryReader, { mark }: MarkRecord, store: string): BaseRecord {
  const key = mark.bases[store];
  const base = key === undefined ? undefined : reader.catalogue.bases.get(key);
  if (base !== undefined) return base;
  if (key !== undefined) {
    const hint = 'Run `tidemark verify` to see what is damaged; the other stores of the mark can be restored.';
    throw new TidemarkError(
      'REPOSITORY_DAMAGED',
      `the base of ${store} that mark ${mark.id} needs is damaged or gone (${key})`,
      { hint },
    );
  }
  const known = Object.keys(mark.bases).join(', ');
  throw new TidemarkError('TARGET_UNKNOWN', `mark ${mark.id} has no store ${store}`, { hint: `It has: ${known}.` });
}

export type OpenedBase = {
  readonly mark: MarkRecord;
  readonly record: BaseRecord;
  readonly base: BaseReader;
  readonly kind: string;
};

/** The base of a store at a target, ready to be looked into. */
export async function openBaseAt(
  application: OpenApplication,
  reader: RepositoryReader,
  at: { readonly target: string; readonly store: string },
  run: Run,
): Promise<OpenedBase> {
  const mark = findMark(application, reader, at.target);
  const record = baseOf(reader, mark, at.store);
  return { mark, record, base: await reader.base(record, run), kind: reader.content(record).connector };
}

export type { RepositoryReader } from '../repository/reader.ts';
