import { realpath } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { parseManifest } from '../config/parse-manifest.ts';
import type { StoreConfiguration } from '../config/configuration.ts';
import type { RestorePreview } from '../core/connector.ts';
import { connectorKind } from '../connectors/registry.ts';
import { systemCode, TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import type { BaseRecord, MarkRecord } from '../repository/catalogue.ts';
import type { RepositoryReader } from '../repository/reader.ts';
import type { OpenApplication } from './application.ts';
import { planResult } from './plan-result.ts';
import { findTarget } from './restore-target.ts';
import type { StoreTarget, TargetRequest } from './restore-target.ts';
import type { PlanResult } from './results.ts';
import { resolveStore } from './store-place.ts';

export type RestoreRequest = TargetRequest & {
  /** `DIR`, or `STORE=URL`, as typed. */
  readonly into: readonly string[];
  readonly only: readonly string[];
  /** Names of stores that may be replaced though they can't be exchanged. */
  readonly replace: readonly string[];
  /** How a restored server is to call for its log, by store and lineage, so that it goes on following the repository. */
  readonly follow?: ((store: string, lineage: string) => readonly string[]) | undefined;
  /** Leaves out what is damaged in the repository, instead of failing. */
  readonly skipDamaged: boolean;
};

/** One store of a restore, with all that is needed to begin. */
export type PlannedStore = StoreTarget & {
  readonly kind: string;
  readonly place: Pick<StoreConfiguration, 'scheme' | 'target' | 'via' | 'options'>;
  /** An absolute path, or the URL of a server; undefined for the store's own place. */
  readonly into: string | undefined;
  readonly replace: boolean;
  readonly followBy: readonly string[] | undefined;
  /** Where only its engine understands the log, a part of a base is of no use. */
  readonly canSkipDamaged: boolean;
  readonly preview: RestorePreview;
};

export type RestorePlan = {
  readonly id: string;
  readonly request: RestoreRequest;
  readonly mark?: MarkRecord | undefined;
  readonly askedMs?: number | undefined;
  readonly stores: readonly PlannedStore[];
  readonly result: PlanResult;
};

/** What a restore would do. Writes nothing. `id`: undefined when none is to follow. @throws USAGE for what the command line gets wrong, and as `findTarget` */
export async function planRestore(
  application: OpenApplication,
  reader: RepositoryReader,
  options: { readonly id: string | undefined; readonly request: RestoreRequest },
  run: Run,
): Promise<Omit<RestorePlan, 'id'>> {
  const { id, request } = options;
  const target = await findTarget(application, reader, request, run);
  const names = target.stores.map(({ store }) => store);
  const places = parseInto(application, request.into, names);
  refuseUnknown(request.replace, names);
  const stores: PlannedStore[] = [];
  for (const wanted of target.stores) {
    const { store, point } = wanted;
    const found = await storePlace(application, reader, point.base);
    const into = places.get(store);
    if (into === undefined && !found.isHere) throw noPlace(application, store);
    refuseOtherKind(store, found.kind, into);
    const resolved = await resolveStore(application.context, { ...found.place, name: store, kind: found.kind });
    const only = request.only.length > 0 ? request.only : undefined;
    const replace = request.replace.includes(store);
    const followBy = request.follow?.(store, point.position.lineage);
    if (followBy !== undefined && resolved.connector.giveLogFile === undefined) throw noStandby(store);
    const canSkipDamaged = resolved.connector.log !== 'bytes';
    const context = { runtime: application.context.runtime, id, target: into, only, replace, followBy };
    const preview = await resolved.connector.preview(resolved.options, context, run);
    stores.push({ ...wanted, kind: found.kind, place: found.place, into, replace, followBy, canSkipDamaged, preview });
  }
  const blockers = [
    ...ofOthers(application, reader, stores),
    ...overlaps(stores),
    ...(await repositoryInTheWay(application, stores)),
  ];
  const plan = { request, mark: target.mark, askedMs: target.askedMs, stores };
  return { ...plan, result: planResult(reader, { ...plan, blockers }) };
}

function noPlace({ context }: OpenApplication, store: string): TidemarkError {
  const why =
    context.configuration === undefined ? 'without a manifest there is no place' : 'the manifest has no place';
  return new TidemarkError('USAGE', `${why} of its own for the store ${store}`, {
    hint: `Name a folder to restore into: --into DIR, or --into ${store}=PLACE for this store alone.`,
  });
}

/** Stores that would be replaced by what another application has under their name, which a copied manifest is enough for. */
function ofOthers(
  { context: { configuration } }: OpenApplication,
  reader: RepositoryReader,
  stores: readonly PlannedStore[],
): readonly string[] {
  const own = configuration?.application;
  return stores.flatMap(({ store, point, into }) => {
    const { application } = reader.content(point.base);
    if (own === undefined || into !== undefined || application === own) return [];
    return [
      `${store}: it was backed up by the application ${application}, and this is ${own}: restore it elsewhere with --into`,
    ];
  });
}

/** Stores that would be written into each other. */
function overlaps(stores: readonly PlannedStore[]): readonly string[] {
  return stores.flatMap((store, index) =>
    stores
      .slice(index + 1)
      .filter(({ preview: { into } }) => lieInEachOther(store.preview.into, into))
      .map((other) => `${store.store} and ${other.store} would go into each other: name other places with --into`),
  );
}

/** An exchange would move the repository away while it is read. */
async function repositoryInTheWay(
  { context }: OpenApplication,
  stores: readonly PlannedStore[],
): Promise<readonly string[]> {
  const repository = await realPathOf(context.repositoryUrl);
  return stores
    .filter(({ preview: { into } }) => lieInEachOther(into, repository))
    .map(
      ({ store, preview }) =>
        `${store}: the repository ${repository} and ${preview.into} lie in each other; restore elsewhere with --into`,
    );
}

function lieInEachOther(one: string | undefined, other: string | undefined): boolean {
  return one !== undefined && other !== undefined && (holds(one, other) || holds(other, one));
}

/** Whether `inner` is `outer` or lies in it. */
function holds(outer: string, inner: string): boolean {
  return inner === outer || inner.startsWith(outer.endsWith('/') ? outer : `${outer}/`);
}

async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return path;
  }
}

/** What the manifest of this host says of a store, or else the one that lies in the base. */
async function storePlace(application: OpenApplication, reader: RepositoryReader, record: BaseRecord) {
  const own = application.context.configuration?.stores.find(({ name }) => name === record.summary.store);
  if (own !== undefined) return { kind: own.kind, place: placeIn(own), isHere: true };
  const content = reader.content(record);
  const origin = { file: `the manifest in ${record.key}`, folder: '/' };
  const kept = await parseManifest(content.manifest, origin, { isStored: true });
  const then = kept.stores.find(({ name }) => name === record.summary.store);
  if (then === undefined) {
    throw new TidemarkError('REPOSITORY_DAMAGED', `the manifest in ${record.key} has no store ${record.summary.store}`);
  }
  return { kind: content.connector, place: placeIn(then), isHere: false };
}

function placeIn({ scheme, target, via, options }: StoreConfiguration): PlannedStore['place'] {
  return { scheme, target, via, options };
}

function noStandby(store: string): TidemarkError {
  return new TidemarkError(
    'USAGE',
    `${store} can’t be restored as a standby: its engine asks for no files of its log`,
    {
      hint: 'Name only stores of PostgreSQL with --standby.',
    },
  );
}

/** @throws USAGE for a store of which nothing is restored */
export function refuseUnknown(replace: readonly string[], names: readonly string[]): void {
  const unknown = replace.find((name) => !names.includes(name));
  if (unknown === undefined) return;
  throw new TidemarkError('USAGE', `--replace: nothing is restored of a store ${unknown}`, {
    hint: `There are: ${names.join(', ')}.`,
  });
}

function refuseOtherKind(store: string, kind: string, into: string | undefined): void {
  const scheme = into === undefined || isAbsolute(into) ? undefined : SCHEME.exec(into)?.[1];
  const other = scheme === undefined ? kind : connectorKind(scheme)?.name;
  if (other === kind) return;
  throw new TidemarkError('USAGE', `--into: ${store} is a store of ${kind}, which can’t go to ${scheme}:`, {
    hint: 'Name a server of its own kind, or a folder.',
  });
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
  const meant = folders.map((text) => /^([a-z0-9-]+)=/.exec(text)?.[1]).find((name) => name !== undefined);
  if (meant !== undefined) {
    throw new TidemarkError('USAGE', `--into: nothing is restored of a store ${meant}`, {
      hint: `There are: ${names.join(', ')}. A folder with such a name is written ./${meant}=…`,
    });
  }
  if (folders.length > 1) {
    throw new TidemarkError('USAGE', '--into DIR can be given once', {
      hint: 'For single stores write --into STORE=URL.',
    });
  }
  if (folders.includes('')) throw emptyPlace('--into');
  for (const folder of folders) for (const name of names) places.set(name, join(resolve(workingFolder, folder), name));
  for (const text of into) {
    const store = storeOf(text, names);
    if (store === undefined) continue;
    const url = text.slice(store.length + 1);
    if (/^(?:[a-z][a-z0-9+.-]*:)?$/.test(url)) throw emptyPlace(`--into ${text}`);
    places.set(store, placeOf(url, workingFolder));
  }
  return places;
}

/** An empty path would be the working folder. */
function emptyPlace(option: string): TidemarkError {
  return new TidemarkError('USAGE', `${option}: the place to restore into is empty`, {
    hint: 'A variable may not be set. The working folder is written as a dot: --into .',
  });
}

function storeOf(text: string, names: readonly string[]): string | undefined {
  return names.find((name) => text.startsWith(`${name}=`));
}

const SCHEME = /^([a-z][a-z0-9+.-]*):/;

/** The URL of a server as it is; else an absolute path. */
function placeOf(url: string, workingFolder: string): string {
  const scheme = SCHEME.exec(url)?.[1];
  const kind = scheme === undefined ? undefined : connectorKind(scheme);
  if (kind?.target === 'server') return url;
  if (scheme !== undefined && kind === undefined) {
    throw new TidemarkError('USAGE', `--into ${scheme}: is not in this version`, {
      hint: 'A folder of files goes to files:PATH, or to a path such as ./FOLDER.',
    });
  }
  const path = scheme === undefined ? url : url.slice(scheme.length + 1);
  return isAbsolute(path) ? path : resolve(workingFolder, path);
}
