import { accessSync, constants, readFileSync, statfsSync } from 'node:fs';
import { isTidemarkError } from '../../core/errors.ts';
import type { Finding } from '../../core/finding.ts';
import type { Runtime } from '../../core/run.ts';
import { isRemoteType } from '../../io/disk.ts';
import { nativeAvailable } from '../../io/native.ts';
import { printablePath, systemPath } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';
import { reasonOf } from './errors.ts';
import { WATCH_LIMIT_HINT } from './folder-watches.ts';
import { previewRestore } from './preview.ts';
import { resolveRoot } from './root.ts';
import { scanOptionsOf, TreeScan } from './scan.ts';
import { SkippedList } from './skipped.ts';
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
    findings.push(...watchFindings(store, root), ...restoreFindings(store, runtime));
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

const WATCH_LIMIT = '/proc/sys/fs/inotify/max_user_watches';
/** Where there is more than this, what lies behind it is not counted. */
const MOST_LOOKED_AT = 200_000;
const LOOKED_AT_ONCE = 1_000;

/** What a continuous observation would not be told by the kernel. */
function watchFindings(store: FilesStore, root: ByteText): Finding[] {
  if (isRemoteType(statfsSync(systemPath(root)).type)) {
    return [
      {
        code: 'FILES_NOT_WATCHED',
        severity: 'note',
        message: 'the folder lies on a network file system, where changes by other machines are found by scans only',
        hint: 'Record it continuously on the machine that serves it, or accept half a minute of delay.',
      },
    ];
  }
  const limit = watchLimit();
  if (limit === undefined || countFolders(store, root, limit) < limit) return [];
  return [
    {
      code: 'FILES_WATCH_LIMIT',
      severity: 'warning',
      message: `this user may watch ${limit} folders, and there are more: changes in the rest are found by scans only`,
      hint: WATCH_LIMIT_HINT,
    },
  ];
}

function watchLimit(): number | undefined {
  try {
    return Number(readFileSync(WATCH_LIMIT, 'utf8'));
  } catch {
    // Elsewhere than on Linux there is no such limit.
    return undefined;
  }
}

/** Up to about `most`. */
function countFolders(store: FilesStore, root: ByteText, most: number): number {
  const scan = new TreeScan({ root, ...scanOptionsOf(store, { skipped: new SkippedList() }) });
  let [folders, looked] = [0, 0];
  while (folders < most && looked < MOST_LOOKED_AT) {
    const steps = scan.steps(LOOKED_AT_ONCE);
    if (steps === undefined) break;
    looked += LOOKED_AT_ONCE;
    folders += steps.filter(({ kind }) => kind === 'enter').length;
  }
  return folders;
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
