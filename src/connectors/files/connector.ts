import type { Connector } from '../../core/connector.ts';
import { compareEntries } from './compare-entries.ts';
import { checkEntry, standIn } from './decode-entry.ts';
import { diagnoseStore } from './diagnose.ts';
import { fileContent } from './file-content.ts';
import { describeEntry, entryName, entryPath, listEntries } from './list.ts';
import { giveUp, ifGivenUp } from './give-up.ts';
import { entryMatcher } from './matcher.ts';
import { previewRestore } from './preview.ts';
import { openFilesRecorder } from './recorder.ts';
import { resolveStore } from './resolve.ts';
import { openFilesRestorer } from './restorer.ts';
import type { FilesStore } from './store.ts';
import { discardRestore, undoRestore } from './undo.ts';

/** Folders of files. */
export const filesConnector: Connector<FilesStore> & Required<Pick<Connector<FilesStore>, 'openRecorder'>> = {
  schemes: ['files'],
  resolve: resolveStore,
  openRecorder: async (store, context, run) => {
    run.signal.throwIfAborted();
    return openFilesRecorder(store, context);
  },
  preview: async (store, context) => previewRestore(store, context),
  openRestorer: async (store, context, run) => {
    run.signal.throwIfAborted();
    return openFilesRestorer(store, context);
  },
  undo: undoRestore,
  discard: discardRestore,
  ifGivenUp,
  giveUp,
  checkEntry,
  standIn,
  entryName,
  entryPath,
  content: fileContent,
  list: listEntries,
  describe: describeEntry,
  matcher: entryMatcher,
  compare: compareEntries,
  diagnose: async (store, runtime) => diagnoseStore(store, runtime),
};
