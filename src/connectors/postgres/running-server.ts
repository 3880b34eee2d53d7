import { execFile } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { systemCode, TidemarkError } from '../../core/errors.ts';
import type { Clock, Run } from '../../core/run.ts';

const runFile = promisify(execFile);

const PID_FILE = 'postmaster.pid';
/** The kernel's own number for the namespace in which all processes of the machine are seen. */
const FIRST_NAMESPACE = 'pid:[4026531836]';
const LOOK_AGAIN_MS = 50;

/** Why a data directory may not be exchanged; undefined when it is certain that no server of this machine runs on it. */
export function serverOn(folder: string): { readonly message: string; readonly hint: string } | undefined {
  const path = join(folder, PID_FILE);
  if (!existsSync(path)) return undefined;
  const pid = ownServer(folder);
  if (pid !== undefined) return { message: `a server runs on ${folder}, with the process ${pid}`, hint: 'Stop it' };
  if (seesAllProcesses() && !processesOf(folder)) return undefined;
  // The file may tell the number that the process has in a container.
  return {
    message: `a server may run on ${folder}, where there is a ${PID_FILE}: not all processes can be seen from here`,
    hint: `Stop it, or remove ${path} if no server runs`,
  };
}

/** @throws RESTORE_CONFLICT while a server runs on a folder that is to be exchanged, or may run */
export function assertNoServer(folder: string): void {
  const found = serverOn(folder);
  if (found === undefined) return;
  throw new TidemarkError('RESTORE_CONFLICT', found.message, {
    hint: `${found.hint}; or restore elsewhere with --into.`,
  });
}

/** Ends the server that an interrupted restore left on a folder of its own. */
export async function endLeftover(folder: string, clock: Clock, run: Run): Promise<void> {
  for (let pid = ownServer(folder); pid !== undefined; pid = ownServer(folder)) {
    await runFile('/bin/sh', ['-c', 'kill -QUIT "$1"', 'sh', String(pid)], { env: {} });
    await clock.sleep(LOOK_AGAIN_MS, run);
  }
}

/** The process that the data directory names, if it is seen from here and works in that folder: the number may be another one's by now. */
function ownServer(folder: string): number | undefined {
  const path = join(folder, PID_FILE);
  if (!existsSync(path)) return undefined;
  const pid = Number(readFileSync(path, 'utf8').split('\n')[0]);
  return Number.isSafeInteger(pid) && pid > 0 && worksIn(pid, folder) === true ? pid : undefined;
}

function seesAllProcesses(): boolean {
  try {
    return readlinkSync('/proc/self/ns/pid') === FIRST_NAMESPACE;
  } catch {
    return false;
  }
}

/** Whether a process works in the folder, or may do so. */
function processesOf(folder: string): boolean {
  const { uid } = statSync(folder);
  return readdirSync('/proc').some((pid) => {
    if (!/^[0-9]+$/.test(pid)) return false;
    // A server runs as the owner of its data directory: others that can't be looked at are none.
    return worksIn(Number(pid), folder) ?? lstatSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid === uid;
  });
}

/** By device and inode, for in another namespace the folder may have another path. Undefined when it can't be known. */
function worksIn(pid: number, folder: string): boolean | undefined {
  try {
    const [own, at] = [statSync(folder, { bigint: true }), statSync(`/proc/${pid}/cwd`, { bigint: true })];
    return own.dev === at.dev && own.ino === at.ino;
  } catch (error) {
    const code = systemCode(error);
    return code === 'ENOENT' || code === 'ESRCH' ? false : undefined;
  }
}
