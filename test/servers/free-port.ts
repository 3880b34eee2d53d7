import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Server } from 'node:net';

/** Below what the system gives out by itself, and each with its companion 10,000 above it, which a node of a Redis Cluster takes. */
const FIRST = 12_000;
const COUNT = 10_000;
/** How many are tried before giving up. */
const TRIES = 500;

const held: Server[] = [];

async function listens(server: Server, place: { path: string } | { port: number; host: string }): Promise<boolean> {
  try {
    server.listen(place);
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  if (!(await listens(server, { port, host: '127.0.0.1' }))) return false;
  server.close();
  await once(server, 'close');
  return true;
}

/**
 * A port of 127.0.0.1 that nobody listens on, and which no other test's process is given as long as this one lives: so a
 * server can be started there again. The port 10,000 above it is free as well.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    const claim = createServer();
    claim.unref();
    // A name without a file: the system forgets it with the process.
    if (!(await listens(claim, { path: `\0tidemark-test-port-${port}` }))) continue;
    held.push(claim);
    if ((await isFree(port)) && (await isFree(port + COUNT))) return port;
  }
  throw new Error('no free port');
}
