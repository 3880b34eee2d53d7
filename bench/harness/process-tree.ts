import { readdirSync, readFileSync } from 'node:fs';

/** The text of a file of /proc, or nothing when its process is gone. */
function procText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    if (isGone(error)) return '';
    throw error;
  }
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

function isGone(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ENOENT' || code === 'ESRCH';
}

/** Resident memory of all processes below `pid`, itself left out, added up. Pages that they share count for each. */
export function residentBytesBelow(pid: number): number {
  let total = 0;
  for (const thread of threadsOf(pid)) {
    for (const child of procText(`/proc/${pid}/task/${thread}/children`).split(' ').filter(Boolean).map(Number)) {
      const resident = /^VmRSS:\s+(\d+) kB/m.exec(procText(`/proc/${child}/status`));
      total += Number(resident?.[1] ?? 0) * 1_024 + residentBytesBelow(child);
    }
  }
  return total;
}
