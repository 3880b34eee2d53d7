import { chmod, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { fromSystem, TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import type { Json } from '../repository/format/json.ts';
import { parseRequest } from './request.ts';
import type { AgentAnswer, AgentRequest } from './request.ts';
import { socketPath } from './socket-path.ts';

const MOST_REQUEST_CHARACTERS = 64 * 1024;

/** Carries out a request; what is worth telling meanwhile goes to `tell`. */
export type Handler = (request: AgentRequest, tell: (message: string) => void, run: Run) => Promise<Json>;

/**
 * Listens for other processes of this host's user, one request a connection, until it is disposed. Call it with the lock of the state folder held: a
 * socket that is there is left of a process that died.
 */
export async function listen(stateFolder: string, handler: Handler, run: Run): Promise<AsyncDisposable> {
  await using place = await socketPath(stateFolder);
  await rm(place.path, { force: true });
  const open = new Map<Socket, Promise<void>>();
  const server = createServer((socket) => {
    // Who asked has gone: nobody is left to tell.
    socket.on('error', () => socket.destroy());
    const served = serve(socket, handler, run).finally(() => open.delete(socket));
    open.set(socket, served);
  });
  await listening(server, place.path);
  // One that can't be taken, for want of descriptors say, is told so by the system.
  server.on('error', () => undefined);
  await chmod(place.path, 0o600);
  return {
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      for (const socket of open.keys()) socket.destroy();
      await Promise.allSettled(open.values());
      await closed;
    },
  };
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(fromSystem(error, 'FAILED', `nothing can listen at ${path}`)));
    server.listen(path, () => resolve());
  });
}

async function serve(socket: Socket, handler: Handler, run: Run): Promise<void> {
  const gone = new AbortController();
  socket.on('close', () => gone.abort(new TidemarkError('INTERRUPTED', 'who asked has gone')));
  const answer = (line: AgentAnswer): void => {
    if (!socket.destroyed) socket.write(`${JSON.stringify(line)}\n`);
  };
  try {
    const request = parseRequest(await firstLine(socket));
    const signal = AbortSignal.any([run.signal, gone.signal]);
    const result = await handler(request, (message) => answer({ type: 'news', message }), { signal });
    answer({ type: 'result', result });
  } catch (error) {
    const told = error instanceof TidemarkError ? error : new TidemarkError('BUG', String(error), { cause: error });
    answer({ type: 'error', code: told.code, message: told.message, hint: told.hint });
  }
  socket.end();
}

async function firstLine(socket: Socket): Promise<string> {
  socket.setEncoding('utf8');
  return await new Promise((resolve, reject) => {
    let text = '';
    socket.on('data', (piece: string) => {
      text += piece;
      const end = text.indexOf('\n');
      if (end >= 0) resolve(text.slice(0, end));
      else if (text.length > MOST_REQUEST_CHARACTERS) reject(new TidemarkError('USAGE', 'the request is too long'));
    });
    socket.on('close', () => reject(new TidemarkError('USAGE', 'the request does not end')));
  });
}
