import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { renameSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimes } from '../../io/native-time.ts';

/** Puts a socket and a fifo into `folder`, for root also devices. What can't be made is added to `missing`. */
export async function makeSpecialFiles(folder: Buffer, missing: string[]): Promise<void> {
  const path = (name: string): string => `${folder.toString()}/${name}`;
  await makeSocket(path('socket'));
  const nodes: readonly (readonly [string, ...string[]])[] = [
    ['fifo', 'p'],
    ['null', 'c', '1', '3'],
    ['loop', 'b', '7', '99'],
  ];
  for (const [name, ...type] of nodes) {
    try {
      execFileSync('mknod', [path(name), ...type], { stdio: 'ignore' });
      setTimes(Buffer.from(path(name)), { mtimeNs: 0n });
    } catch {
      missing.push(name);
    }
  }
}

/** The name is short while the server listens (the kernel takes about 100 bytes), and its end does not take the file along. */
async function makeSocket(path: string): Promise<void> {
  const listening = `${path}-`;
  const server = createServer().listen(listening);
  await once(server, 'listening');
  renameSync(listening, path);
  setTimes(Buffer.from(path), { mtimeNs: 0n });
  server.close();
  await once(server, 'close');
}
