import { isAbsolute, join, resolve } from 'node:path';
import { parseManifest } from '../config/parse-manifest.ts';
import type { StoreConfiguration } from '../config/configuration.ts';
import type { RestorePreview } from '../core/connector.ts';
import { loadConnector } from '../connectors/load.ts';
import { connectorKind } from '../connectors/registry.ts';
import { TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import type { BaseRecord, MarkRecord } from '../repository/catalogue.ts';
import { markState } from '../repository/mark.ts';
import type { RepositoryReader } from '../repository/reader.ts';
import type { OpenApplication } from './application.ts';
import { baseOf, findMark } from './look.ts';
import type { PlanResult, PlanStoreResult } from './results.ts';
import { markResult } from './shown.ts';

export type RestoreRequest = {
  readonly target: string;
  /** Names; none means all that the mark has. */
  readonly stores: readonly string[];
  /** `DIR`, or `STORE=URL`, as typed. */
  readonly into: readonly string[];
  readonly only: readonly string[];
};

/** One store of a restore, with all that is needed to begin. */
export type PlannedStore = {
  readonly store: string;
  readonly kind: string;
  readonly place: Pick<StoreConfiguration, 'target' | 'options'>;
  /** Absolute; undefined for the store's own place. */
  readonly into: string | undefined;
  readonly record: BaseRecord;
  readonly preview: RestorePreview;
};

export type RestorePlan = {
  readonly id: string;
  readonly request: RestoreRequest;
  readonly mark: MarkRecord;
  readonly stores: readonly PlannedStore[];
  readonly result: PlanResult;
};

/** What a restore would do. Writes nothing. @throws USAGE for what the command line gets wrong, and as `resolveTarget` */
export async function planRestore(
  application: OpenApplication,
  reader: RepositoryReader,
  options: { readonly id: string; readonly request: RestoreRequest },
  run: Run,
): Promise<RestorePlan> {
  const { id, request } = options;
  const mark = findMark(application, reader, request.target);
  const names = request.stores.length > 0 ? request.stores : Object.keys(mark.mark.bases);
  const places = parseInto(application, request.into, names);
  const stores: PlannedStore[] = [];
  for (const store of names) {
    const record = baseOf(reader, mark, store);
    const found = await storePlace(application, reader, record);
    const into = places.get(store);
    if (into === undefined && !found.isHere) {
      throw new TidemarkError('USAGE', `without a manifest there is no place of its own for the store ${store}`, {
        hint: 'Name a folder to restore into: --into DIR.',
      });
    }
    const connector = await loadConnector(found.kind);
    const resolved = connector.resolve({ ...found.place, leaveOut: [] });
    const preview = await connector.preview(
      resolved.options,
      { runtime: application.context.runtime, id, target: into, only: onlyOf(request) },
      run,
    );
    stores.push({ store, kind: found.kind, place: found.place, into, record, preview });
  }
  return { id, request, mark, stores, result: planResult(reader, mark, stores) };
}

export function onlyOf(request: RestoreRequest): readonly string[] | undefined {
  return request.only.length > 0 ? request.only : undefined;
}

/** What the manifest of this host says of a store, or else the one that lies in the base. */
async function storePlace(application: OpenApplication, reader: RepositoryReader, record: BaseRecord) {
  const own = application.context.configuration?.stores.find(({ name }) => name === record.summary.store);
  if (own !== undefined) return { kind: own.kind, place: { target: own.target, options: own.options }, isHere: true };
  const content = reader.content(record);
  const kept = await parseManifest(content.manifest, { file: `the manifest in ${record.key}`, folder: '/' });
  const then = kept.stores.find(({ name }) => name === record.summary.store);
  if (then === undefined) {
    throw new TidemarkError('REPOSITORY_DAMAGED', `the manifest in ${record.key} has no store ${record.summary.store}`);
  }
  return { kind: content.connector, place: { target: then.target, options: then.options }, isHere: false };
}

/** Where each store goes: `DIR` puts it into `DIR/STORE`, `STORE=URL` sends one elsewhere. */
function parseInto(
  application: OpenApplication,
  into: readonly string[],
  names: readonly string[],
): ReadonlyMap<string, string> {
  const { workingFolder } = application.context;
  const places = new Map<string, string>();
  const folders = into.filter((text) => storeOf(text, names) === undefined);
  if (folders.length > 1) {
    throw new TidemarkError('USAGE', '--into DIR can be given once', {
      hint: 'For single stores write --into STORE=URL.',
    });
  }
  for (const folder of folders) for (const name of names) places.set(name, join(resolve(workingFolder, folder), name));
  for (const text of into) {
    const store = storeOf(text, names);
    if (store !== undefined) places.set(store, placeOf(text.slice(store.length + 1), workingFolder));
  }
  return places;
}

function storeOf(text: string, names: readonly string[]): string | undefined {
  return names.find((name) => text.startsWith(`${name}=`));
}

function placeOf(url: string, workingFolder: string): string {
  const scheme = /^([a-z]+):/.exec(url)?.[1];
  if (scheme !== undefined && connectorKind(scheme) === undefined) {
    throw new TidemarkError('USAGE', `--into ${scheme}: is not in this version`, {
      hint: 'A folder of files goes to files:PATH.',
    });
  }
  const path = scheme === undefined ? url : url.slice(scheme.length + 1);
  return isAbsolute(path) ? path : resolve(workingFolder, path);
}

function planResult(reader: RepositoryReader, mark: MarkRecord, stores: readonly PlannedStore[]): PlanResult {
  const newest = reader.catalogue.marks.findLast((record) => markState(record.mark) === 'complete');
  const lostAfterMs = Math.max(0, (newest?.mark.atMs ?? mark.mark.atMs) - mark.mark.atMs);
  const shown = stores.map(
    ({ store, record, preview }, index): PlanStoreResult => ({
      store,
      order: index + 1,
      base: record.key,
      segments: 0,
      position: record.summary.cut,
      exact: record.summary.exact,
      into: preview.into,
      inOneStep: preview.inOneStep,
      replaces: preview.replaces,
      downloadBytes: record.summary.bytes,
      needBytes: record.summary.bytes,
      freeBytes: preview.freeBytes,
      lostAfterMs,
    }),
  );
  const noRoom = shown
    .filter(({ needBytes, freeBytes }) => needBytes > freeBytes)
    .map(({ store, into }) => `${store}: there is not enough room at ${into}`);
  return {
    mark: markResult(mark.mark, mark.pinned),
    stores: shown,
    sideEffects: stores.flatMap(({ store, preview }) => preview.sideEffects.map((text) => `${store}: ${text}`)),
    blockers: [
      ...stores.flatMap(({ store, preview }) => preview.blockers.map((text) => `${store}: ${text}`)),
      ...noRoom,
    ],
  };
}
