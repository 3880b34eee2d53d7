import { accessSync, constants } from 'node:fs';
import { isTidemarkError } from '../../core/errors.ts';
import type { Finding } from '../../core/finding.ts';
import type { Runtime } from '../../core/run.ts';
import { nativeAvailable } from '../../io/native.ts';
import { printablePath, systemPath } from './byte-text.ts';
import { reasonOf } from './errors.ts';
import { previewRestore } from './preview.ts';
import { resolveRoot } from './root.ts';
import type { FilesStore } from './store.ts';

/** What a backup and a restore of the folder would miss here. Writes nothing. */
export function diagnoseStore(store: FilesStore, runtime: Runtime): Finding[] {
  const findings: Finding[] = [];
  if (!nativeAvailable()) {
    findings.push({
      code: 'FILES_NO_NATIVE_CALLS',
      severity: 'error',
      message: 'extended attributes and holes can’t be read on this machine, and nothing can be restored',
      hint: 'Use Linux on x64 or arm64, and install Tidemark with its dependencies.',
    });
  }
  try {
    const root = resolveRoot(store.folder);
    accessSync(systemPath(root), constants.R_OK | constants.X_OK);
    findings.push(...restoreFindings(store, runtime));
  } catch (error) {
    const message = isTidemarkError(error)
      ? error.message
      : `${printablePath(store.folder)} can’t be read: ${reasonOf(error)}`;
    findings.push({
      code: 'FILES_UNREACHABLE',
      severity: 'error',
      message,
      hint: 'Check that the folder exists and that this user may read it.',
    });
  }
  if (process.geteuid?.() !== 0) {
    findings.push({
      code: 'FILES_NOT_ROOT',
      severity: 'note',
      message: 'this user may not read what others closed, nor restore other owners',
      hint: 'Run as root, or with CAP_DAC_READ_SEARCH for backups and CAP_CHOWN for restores, if other users own files here.',
    });
  }
  return findings;
}

function restoreFindings(store: FilesStore, runtime: Runtime): Finding[] {
  const { blockers, inOneStep } = previewRestore(store, { runtime, id: undefined });
  const findings: Finding[] = blockers.map((message) => ({
    code: 'FILES_NO_RESTORE_IN_PLACE',
    severity: 'warning',
    message,
    hint: 'A restore into the folder itself would not work; --into restores elsewhere.',
  }));
  if (!inOneStep) {
    findings.push({
      code: 'FILES_NOT_IN_ONE_STEP',
      severity: 'note',
      message: 'a restore can’t exchange this folder in one step',
      hint: 'Stop what uses the folder during the exchange at the end of a restore.',
    });
  }
  return findings;
}
