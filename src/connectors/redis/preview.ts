import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { PreviewContext, RestorePreview } from '../../core/connector.ts';
import { isTidemarkError, systemCode, systemMeaning } from '../../core/errors.ts';
import type { Run } from '../../core/run.ts';
import { shownAddress } from './place.ts';
import type { RedisPlace } from './place.ts';
import { besideFolder } from './restore/files-swap.ts';
import { contentOf, infoOf, openTargets } from './restore/server-target.ts';
import type { Targets } from './restore/server-target.ts';
import { assertPermits } from './restore/target-checks.ts';
import { destinationOf } from './restorer.ts';

/** What a restore into this place would do. Asks the server; changes nothing. */
export async function previewRestore(place: RedisPlace, context: PreviewContext, run: Run): Promise<RestorePreview> {
  const destination = destinationOf(place, context.target);
  const preview =
    'folder' in destination
      ? previewFolder(destination.folder, context)
      : await previewServer(destination.server, context, run);
  const expiry =
    place.expiry === 'remaining'
      ? 'keys that expire have the time left that they had at that moment'
      : 'keys expire when they would have; those whose time has passed are not there';
  return { ...preview, sideEffects: [...preview.sideEffects, expiry] };
}

function previewFolder(folder: string, { id, only }: PreviewContext): RestorePreview {
  const replaces = existsSync(folder);
  const home = existingFolder(dirname(folder));
  const { bavail, bsize } = statfsSync(home);
  const blockers: string[] = [];
  if (only !== undefined && only.length > 0) {
    blockers.push('a part of the keys can’t be restored as files: leave out --only');
  }
  try {
    accessSync(home, constants.W_OK | constants.X_OK);
  } catch (error) {
    const meaning = systemMeaning(systemCode(error) ?? '') ?? 'the system refuses it';
    blockers.push(`nothing can be created in ${home}: ${meaning}`);
  }
  const sideEffects = [`it becomes the data folder of a Redis, to be started with the redis.conf that lies in it`];
  if (!replaces) {
    sideEffects.push(
      'its files belong to who runs this: `chown -R` it to the user whom Redis runs as, if that is another',
    );
  } else {
    const { aside } = besideFolder(folder, id ?? 'ID');
    sideEffects.push(`what is there now is kept aside as ${aside}; no server may be running on it`);
  }
  return { into: folder, inOneStep: false, replaces, freeBytes: bavail * bsize, sideEffects, blockers };
}

async function previewServer(place: RedisPlace, context: PreviewContext, run: Run): Promise<RestorePreview> {
  const only = context.only !== undefined && context.only.length > 0 ? context.only : undefined;
  const into = `${place.tls === undefined ? 'redis' : 'rediss'}://${shownAddress(place)}`;
  const preview = { into, inOneStep: false, replaces: undefined, freeBytes: undefined, sideEffects: [] };
  try {
    await using targets = await openTargets(place, context.runtime.clock, run);
    const { all, shown } = targets;
    let there: string | undefined;
    let freeBytes: number | undefined = 0;
    for (const { client } of all) there ??= await contentOf(client, only, run);
    for (const { client } of all) {
      const memory = await infoOf(client, 'memory', run);
      const limit = Number(memory.get('maxmemory') ?? 0) || Number(memory.get('total_system_memory') ?? 0);
      const used = there !== undefined && only === undefined ? 0 : Number(memory.get('used_memory') ?? 0);
      freeBytes = limit === 0 || freeBytes === undefined ? undefined : freeBytes + Math.max(0, limit - used);
    }
    const sideEffects = [
      ...(there === undefined ? [] : [`${shown} holds ${there}: that is kept on this host, and replaced`]),
      ...(only === undefined
        ? ['who is connected meanwhile sees it empty, and then half full; what is written meanwhile may be lost']
        : [
            'keys that --only does not mean stay as they are now; functions, too',
            'what is written to keys that it means while they are replaced is lost, also for an undo',
          ]),
      ...(only === undefined ? await replicasOf(targets, run) : []),
    ];
    const blockers =
      there === undefined || context.replace === true
        ? []
        : [`${shown} is not empty: it holds ${there}; name the store in --replace, or send it elsewhere with --into`];
    blockers.push(...(await refusalsOf(targets, only, run)));
    return {
      ...preview,
      replaces: there !== undefined,
      freeBytes,
      sideEffects,
      blockers,
    };
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    return { ...preview, blockers: [error.message] };
  }
}

async function replicasOf({ all }: Targets, run: Run): Promise<readonly string[]> {
  let replicas = 0;
  for (const { client } of all) {
    replicas += Number((await infoOf(client, 'replication', run)).get('connected_slaves') ?? 0);
  }
  return replicas === 0 ? [] : [`its replicas (${replicas}) are emptied and filled with it`];
}

async function refusalsOf({ all }: Targets, only: readonly string[] | undefined, run: Run): Promise<readonly string[]> {
  try {
    for (const target of all) await assertPermits(target, { only }, run);
    return [];
  } catch (error) {
    if (!isTidemarkError(error, 'UNSUPPORTED')) throw error;
    return [`${error.message} (${error.hint})`];
  }
}

function existingFolder(path: string): string {
  let at = path;
  while (at !== '/' && !existsSync(at)) at = dirname(at);
  return at;
}
