import { toHex } from '../../core/bytes.ts';
import { isTidemarkError, systemCode } from '../../core/errors.ts';
import type { Finding } from '../../core/finding.ts';
import type { Run } from '../../core/run.ts';
import { inspectFileSystem, onSameDevice } from '../../io/disk.ts';
import type { OpenApplication } from '../application.ts';

/**
 * A key of this folder is foreign to the repository's format: readers ignore it and nothing deletes it, so that a probe can do no harm even where
 * it has to stay.
 */
const PROBE_FOLDER = 'probe/';
const PROBE_BYTES = 8;
/** Clocks of two machines that are kept in step differ by less. */
const MOST_SKEW_MS = 60_000;
const LEAST_FREE_BYTES = 64 * 1024 * 1024;
const LOW_FREE_BYTES = 1024 * 1024 * 1024;
const LOW_FREE_SHARE = 0.05;

/** Where the repository lies: can it be written to, is there room, does its clock agree with this host's. */
export async function checkRepository(application: OpenApplication, run: Run): Promise<readonly Finding[]> {
  return [
    ...(await probeWriting(application, run)),
    ...(await checkClock(application, run)),
    ...(await checkRoom(application)),
    ...(await checkDisks(application)),
  ];
}

/** Puts an object of no meaning and takes it away again: only that tells whether this host may write and delete. */
async function probeWriting({ objects, context }: OpenApplication, run: Run): Promise<readonly Finding[]> {
  try {
    const left: string[] = [];
    for await (const batch of objects.list(PROBE_FOLDER, '', run)) left.push(...batch.map(({ key }) => key));
    // One that could not be deleted says enough; another one would have to stay as well.
    const key = left[0] ?? `${PROBE_FOLDER}${toHex(context.runtime.random(PROBE_BYTES))}`;
    if (left.length === 0) await objects.create(key, [Buffer.from('tidemark doctor\n')], run);
    return await probeDeleting(key, { objects }, run);
  } catch (error) {
    run.signal.throwIfAborted();
    if (!isTidemarkError(error)) throw error;
    const { code, message } = error;
    const hint = 'A backup will fail until this user may write there and there is room; restores still work.';
    return [{ code, severity: 'error', message: `the repository can’t be written to: ${message}`, hint }];
  }
}

async function probeDeleting(
  key: string,
  { objects }: Pick<OpenApplication, 'objects'>,
  run: Run,
): Promise<readonly Finding[]> {
  try {
    await objects.delete([key], run);
    return [];
  } catch (error) {
    run.signal.throwIfAborted();
    if (!isTidemarkError(error)) throw error;
    return [
      {
        code: 'DELETE_REFUSED',
        severity: 'note',
        message: `this host may write to the repository but not delete: ${error.message}`,
        hint: 'That protects the backups from this host. `tidemark sweep` has to run where deleting is allowed.',
      },
    ];
  }
}

async function checkClock(application: OpenApplication, run: Run): Promise<readonly Finding[]> {
  const { clock } = application.context.runtime;
  const before = clock.nowMs();
  const there = await application.timeForPeople(run);
  const after = clock.nowMs();
  const skewMs = there < before ? before - there : Math.max(0, there - after);
  if (skewMs <= MOST_SKEW_MS) return [];
  return [
    {
      code: 'CLOCK_SKEW',
      severity: 'warning',
      message: `the clocks of this host and of the repository differ by ${Math.round(skewMs / 1000)} s`,
      hint: 'Nothing is lost by it, but times of marks are this host’s: let both follow the same time servers.',
    },
  ];
}

/** Of a repository in a folder. */
async function checkRoom({ context: { repositoryUrl } }: OpenApplication): Promise<readonly Finding[]> {
  const { freeBytes, totalBytes, freeInodes } = await inspectFileSystem(repositoryUrl);
  const free = `${Math.floor(freeBytes / 2 ** 20)} MiB`;
  const hint = 'Make room there, or let `tidemark forget --apply` and `tidemark sweep --apply` do it.';
  if (freeBytes < LEAST_FREE_BYTES || freeInodes === 0) {
    const message = `the disk of the repository is full: ${free} are free`;
    return [{ code: 'DISK_FULL', severity: 'error', message, hint }];
  }
  if (freeBytes >= LOW_FREE_BYTES && freeBytes >= totalBytes * LOW_FREE_SHARE) return [];
  const message = `the disk of the repository is nearly full: ${free} are free`;
  return [{ code: 'DISK_NEARLY_FULL', severity: 'warning', message, hint }];
}

/** A backup beside what it is a backup of goes with it. */
async function checkDisks({ context: { repositoryUrl, configuration } }: OpenApplication): Promise<readonly Finding[]> {
  const beside: string[] = [];
  for (const { name, target } of configuration?.stores ?? []) {
    if (target.startsWith('/') && (await lieTogether(repositoryUrl, target))) beside.push(name);
  }
  if (beside.length === 0) return [];
  return [
    {
      code: 'SAME_DISK',
      severity: 'note',
      message: `the repository lies on the same disk as ${beside.join(', ')}: one fault can take both`,
      hint: 'Put the repository on another disk, or copy it to another machine.',
    },
  ];
}

async function lieTogether(left: string, right: string): Promise<boolean> {
  try {
    return await onSameDevice(left, right);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return false;
  }
}
