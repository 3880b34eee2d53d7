import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

const NAME = 'up.sock';
/** What a socket's address has room for, on every system. */
const MOST_BYTES = 100;

export type SocketPath = AsyncDisposable & { readonly path: string };

/** Where the process that records listens. A long path is gone through the folder's descriptor: keep it until the socket is open. */
export async function socketPath(stateFolder: string): Promise<SocketPath> {
  const path = join(stateFolder, NAME);
  if (Buffer.byteLength(path) <= MOST_BYTES) return { path, async [Symbol.asyncDispose]() {} };
  const folder: FileHandle = await open(stateFolder, 'r');
  return { path: `/proc/self/fd/${folder.fd}/${NAME}`, [Symbol.asyncDispose]: () => folder.close() };
}
