import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Does `work` while no other process does its own under the same lock. A lock ends with its process. */
export async function withFileLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  // Node has no flock. This one is held until the pipe to it closes, which it does when this process ends.
  const holder = spawn('flock', [path, 'sh', '-c', 'echo locked; exec cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const closed = once(holder, 'close');
  await Promise.race([once(holder.stdout, 'data'), closed.then(() => Promise.reject(new Error(`no lock at ${path}`)))]);
  try {
    return await work();
  } finally {
    holder.stdin.end();
    await closed;
  }
}
