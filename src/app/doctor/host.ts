import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { systemCode } from '../../core/errors.ts';
import type { Finding } from '../../core/finding.ts';
import type { Run } from '../../core/run.ts';
import { inspectFileSystem } from '../../io/disk.ts';
import type { AppContext } from '../application.ts';

const OTHERS_MAY_READ = 0o004;
const OTHERS_MAY_WRITE = 0o002;
/** Below this a backup or restore has nowhere to put what it keeps for a while. */
const LEAST_TEMPORARY_BYTES = 256 * 1024 * 1024;

/** Files of this host: the manifest, the passphrase's file, room for scratch files. */
export async function checkHost(context: AppContext, run: Run): Promise<readonly Finding[]> {
  run.signal.throwIfAborted();
  return [
    ...(await checkManifest(context)),
    ...(await checkPassphraseFile(context)),
    ...(await checkTemporaryFolder(context)),
  ];
}

async function checkManifest({ configuration, workingFolder }: AppContext): Promise<readonly Finding[]> {
  if (configuration === undefined) return [];
  const path = resolve(workingFolder, configuration.origin.file);
  const mode = await modeOf(path);
  if (mode === undefined || (mode & OTHERS_MAY_WRITE) === 0) return [];
  return [
    {
      code: 'MANIFEST_WRITABLE',
      severity: 'warning',
      message: `every user of this machine can change ${path}, and so what is backed up`,
      hint: `Take that right away: chmod o-w ${path}`,
    },
  ];
}

async function checkPassphraseFile({ configuration }: AppContext): Promise<readonly Finding[]> {
  const reference = configuration?.repository.passphrase;
  if (reference?.kind !== 'file') return [];
  const mode = await modeOf(reference.path);
  // That it is missing is told when the key is used.
  if (mode === undefined || (mode & OTHERS_MAY_READ) === 0) return [];
  return [
    {
      code: 'SECRET_FILE_READABLE',
      severity: 'warning',
      message: `every user of this machine can read the passphrase in ${reference.path}`,
      hint: `Take that right away: chmod o-r ${reference.path}`,
    },
  ];
}

async function checkTemporaryFolder({ runtime }: AppContext): Promise<readonly Finding[]> {
  const { temporaryFolder } = runtime;
  try {
    const { freeBytes } = await inspectFileSystem(temporaryFolder);
    if (freeBytes >= LEAST_TEMPORARY_BYTES) return [];
    return [
      {
        code: 'TEMPORARY_FOLDER_FULL',
        severity: 'warning',
        message: `there are only ${Math.floor(freeBytes / 2 ** 20)} MiB free in ${temporaryFolder}`,
        hint: 'Make room, or set TMPDIR to a folder that has some.',
      },
    ];
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return [
      {
        code: 'TEMPORARY_FOLDER_MISSING',
        severity: 'error',
        message: `the folder for scratch files can’t be used: ${temporaryFolder}`,
        hint: 'Create it, or set TMPDIR to another one.',
      },
    ];
  }
}

/** Undefined for what can't be looked at. */
async function modeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mode;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}
