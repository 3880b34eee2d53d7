import { accessSync, constants, existsSync, readdirSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { PreviewContext, RestorePreview } from '../../core/connector.ts';
import { isTidemarkError, systemCode, systemMeaning } from '../../core/errors.ts';
import { chooseOwner } from './owner.ts';
import type { RestoreSettings } from './restore-settings.ts';
import { serverOn } from './running-server.ts';
import { findTarget } from './target-place.ts';
import type { TargetPlace } from './target-place.ts';

/** Stands for an id that is not known yet; nothing is ever written under it. */
const NO_ID = 'id';

/** What a restore into a data directory would do. Writes nothing. */
export function previewDataDirectory(
  path: string,
  settings: RestoreSettings,
  context: Pick<PreviewContext, 'id'>,
): RestorePreview {
  const preview = previewFolder(path, context);
  const place = findTarget(path, context.id ?? NO_ID);
  const { sideEffects, blockers } = preview;
  const ending =
    settings.endRecovery === 'pause'
      ? 'the restored server only reads, until it is promoted'
      : 'the restored server begins a timeline of its own';
  return {
    ...preview,
    sideEffects: [...sideEffects, ending],
    blockers: [...blockers, ...serverBlockers(place, settings)],
  };
}

/** What exchanging a folder would do. @throws RESTORE_CONFLICT when the target is no folder */
export function previewFolder(path: string, { id }: Pick<PreviewContext, 'id'>): RestorePreview {
  const place = findTarget(path, id ?? NO_ID);
  const { target, exists, home, aside } = place;
  const existing = existingFolder(home);
  const { bavail, bsize } = statfsSync(existing);
  const replaces = exists && readdirSync(target).length > 0;
  const asideText =
    id === undefined
      ? `beside it, as ${aside.slice(0, -NO_ID.length)} and an id that the restore chooses`
      : `as ${aside}`;
  return {
    into: target,
    inOneStep: !place.mounted,
    replaces,
    freeBytes: bavail * bsize,
    sideEffects: replaces ? [`what is there now is kept aside ${asideText}`] : [],
    blockers: folderBlockers(place, existing),
  };
}

function folderBlockers({ target, mounted }: TargetPlace, existing: string): string[] {
  const blockers: string[] = [];
  if (mounted) {
    blockers.push(`${target} is a mount point, which can’t be exchanged: restore into a folder in it with --into`);
  }
  try {
    accessSync(existing, constants.W_OK | constants.X_OK);
  } catch (error) {
    blockers.push(
      `nothing can be created in ${existing}: ${systemMeaning(systemCode(error) ?? '') ?? 'the system refuses it'}`,
    );
  }
  return blockers;
}

function serverBlockers({ target, exists }: TargetPlace, settings: RestoreSettings): string[] {
  const blockers: string[] = [];
  const found = exists ? serverOn(target) : undefined;
  if (found !== undefined) blockers.push(`${found.message}: ${found.hint.replace('Stop it', 'stop it first')}`);
  try {
    chooseOwner(settings.owner, exists ? target : undefined);
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    blockers.push(error.message);
  }
  return blockers;
}

function existingFolder(path: string): string {
  let at = path;
  while (at !== '/' && !existsSync(at)) at = dirname(at);
  return at;
}
