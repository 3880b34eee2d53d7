import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Connector, PreviewContext, RestorePreview } from '../../core/connector.ts';
import { isTidemarkError, systemMeaning, systemCode } from '../../core/errors.ts';
import type { Finding } from '../../core/finding.ts';
import { checkValue, compareValues, describeKey, keyMatcher, listKeys, valueContent } from '../../core/stored-keys.ts';
import { isDamagedDatabase } from '../../io/sqlite-errors.ts';
import { removeDatabase } from '../../io/sqlite-files.ts';
import { openDatabase } from './database.ts';
import { withStoreErrors } from './errors.ts';
import { parseRevision } from './feed.ts';
import { holdStore } from './hold.ts';
import { besideOf } from './place.ts';
import type { EmbeddedPlace } from './place.ts';
import { openEmbeddedRestorer } from './restorer.ts';
import { openEmbeddedSink } from './sink.ts';
import { openEmbeddedSource } from './source.ts';
import { ifGivenUp, undoSwap } from './swap.ts';

export { EmbeddedStore, openEmbedded } from './embedded-store.ts';
export type { OpenEmbeddedOptions, WatchOptions } from './embedded-store.ts';
export type { EmbeddedEntry, EmbeddedReader, RangeOptions } from './reading.ts';
export type { EmbeddedTransaction, PutOptions } from './transaction.ts';

const LOOK_TIMEOUT_MS = 1_000;

/** Ordered key-value stores in a file, for applications without a server. */
export const embeddedConnector: Connector<EmbeddedPlace> & Required<Pick<Connector<EmbeddedPlace>, 'openSource'>> = {
  schemes: ['embedded'],
  resolve: ({ target }) => ({ options: { file: target }, warnings: [] }),
  openSource: async (place, { runtime }, { signal }) => {
    signal.throwIfAborted();
    return openEmbeddedSource(place, runtime);
  },
  openSink: async (place, runtime, { signal }) => {
    signal.throwIfAborted();
    return openEmbeddedSink(place, runtime);
  },
  hold: holdStore,
  preview: async (place, context) => previewRestore(place, context),
  openRestorer: async (place, context, { signal }) => {
    signal.throwIfAborted();
    return openEmbeddedRestorer(place, context);
  },
  undo: async ({ file }, { target = file, id, turn }, { signal }) => {
    signal.throwIfAborted();
    return withStoreErrors(target, () => undoSwap({ file: target, beside: besideOf(target, id), id }, turn));
  },
  discard: async ({ file }, { target = file, id }, { signal }) => {
    signal.throwIfAborted();
    const { fresh, aside, nextAside } = besideOf(target, id);
    for (const path of [fresh, nextAside, aside]) removeDatabase(path);
  },
  ifGivenUp: async ({ file }, { target = file, id }, { signal }) => {
    signal.throwIfAborted();
    return withStoreErrors(target, () => ifGivenUp({ file: target, beside: besideOf(target, id), id }));
  },
  parsePosition: (text) => {
    const order = parseRevision(text);
    return order === undefined ? undefined : { order };
  },
  checkEntry: checkValue,
  entryName: (path) => path,
  entryPath: (name) => name,
  content: valueContent,
  list: listKeys,
  describe: describeKey,
  matcher: keyMatcher,
  compare: compareValues,
  diagnose: async ({ file }) => diagnose(file),
};

function previewRestore({ file }: EmbeddedPlace, { target = file, id, only }: PreviewContext): RestorePreview {
  const replaces = existsSync(target);
  const folder = existingFolder(dirname(target));
  const { bavail, bsize } = statfsSync(folder);
  const sideEffects: string[] = [];
  if (replaces) {
    sideEffects.push(`what is there now is kept aside ${asideText(target, id)}`);
  }
  if (diagnose(target).some(({ code }) => code === 'EMBEDDED_DAMAGED')) {
    sideEffects.push('what is there now can’t be read; it is kept aside as it is');
  }
  if (replaces && only !== undefined && only.length > 0) {
    sideEffects.push('keys that --only does not match stay as they are now');
  }
  return {
    into: target,
    inOneStep: true,
    replaces,
    freeBytes: bavail * bsize,
    sideEffects,
    blockers: blockersOf(target, folder),
  };
}

function asideText(file: string, id: string | undefined): string {
  if (id !== undefined) return `as ${besideOf(file, id).aside}`;
  return `in ${dirname(file)}, as ${basename(besideOf(file, '').aside)} and an id that the restore chooses`;
}

function blockersOf(file: string, folder: string): readonly string[] {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    return [
      `nothing can be created in ${folder}: ${systemMeaning(systemCode(error) ?? '') ?? 'the system refuses it'}`,
    ];
  }
  return diagnose(file)
    .filter(({ code }) => code === 'EMBEDDED_UNREACHABLE')
    .map(({ message }) => message);
}

function existingFolder(path: string): string {
  let at = path;
  while (at !== '/' && !existsSync(at)) at = dirname(at);
  return at;
}

/** What would keep it from being recorded. */
function diagnose(file: string): readonly Finding[] {
  try {
    openDatabase({ path: file, mustExist: true, durable: true, busyTimeoutMs: LOOK_TIMEOUT_MS }).close();
    return [];
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    const kind = isDamagedDatabase(error) ? 'DAMAGED' : existsSync(file) ? 'UNREACHABLE' : 'MISSING';
    const code = `EMBEDDED_${kind}`;
    return [{ code, severity: 'error', message: error.message, hint: error.hint }];
  }
}
