import assert from 'node:assert/strict';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TidemarkError } from '../core/errors.ts';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import type { AgentRequest } from './request.ts';
import { askAgent } from './socket-client.ts';
import { listen } from './socket-server.ts';
import type { Handler } from './socket-server.ts';

const run = { signal: new AbortController().signal };
const MARK: AgentRequest = { command: 'mark', name: 'before-the-sale', tags: ['a', 'b'], sealed: true };

function ask(folder: string, request: AgentRequest = MARK, signal = run.signal, news: string[] = []) {
  return askAgent(folder, request, { onNews: (message) => news.push(message) }, { signal });
}

test('a request is answered with news and a result, or with an error as it was thrown', async () => {
  await using folder = temporaryFolder();
  const asked: AgentRequest[] = [];
  const handler: Handler = async (request, tell) => {
    asked.push(request);
    if (request.command === 'status') {
      throw new TidemarkError('STORE_UNREACHABLE', 'it is away', { hint: 'Bring it back.' });
    }
    tell('one line\nof it');
    return { id: 'é' };
  };
  await using _server = await listen(folder.path, handler, run);
  const news: string[] = [];
  assert.deepEqual(await ask(folder.path, MARK, run.signal, news), { id: 'é' });
  assert.deepEqual([asked, news], [[MARK], ['one line\nof it']]);
  await assert.rejects(ask(folder.path, { command: 'status' }), { code: 'STORE_UNREACHABLE', hint: 'Bring it back.' });
  assert.equal(statSync(folder.at('up.sock')).mode & 0o777, 0o600, 'for this user alone');
});

test('where nobody listens there is no answer: no socket, or one that a process left that died', async () => {
  await using folder = temporaryFolder();
  assert.equal(await ask(folder.path), undefined);
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(folder.at('left'), resolve);
  });
  // A socket without a process.
  const { renameSync } = await import('node:fs');
  renameSync(folder.at('left'), folder.at('up.sock'));
  await new Promise((resolve) => server.close(resolve));
  assert.equal(await ask(folder.path), undefined);
  await using _server = await listen(folder.path, async () => ({}), run);
  assert.deepEqual(await ask(folder.path), {});
});

test('something else in the place of the socket gives way to who holds the lock', async () => {
  await using folder = temporaryFolder();
  writeFileSync(folder.at('up.sock'), '');
  await using _server = await listen(folder.path, async () => ({}), run);
  assert.deepEqual(await ask(folder.path), {});
});

test('a folder whose path is longer than an address may be is listened in all the same', async () => {
  await using folder = temporaryFolder();
  const long = folder.at('x'.repeat(120));
  mkdirSync(long);
  await using _server = await listen(long, async () => ({ fine: true }), run);
  assert.deepEqual(await ask(long), { fine: true });
});

test('two who ask at once are served at once', async () => {
  await using folder = temporaryFolder();
  const both = Promise.withResolvers<void>();
  let waiting = 0;
  const handler: Handler = async (request) => {
    if (++waiting === 2) both.resolve();
    await both.promise;
    return { command: request.command };
  };
  await using _server = await listen(folder.path, handler, run);
  const answers = await Promise.all([ask(folder.path), ask(folder.path, { command: 'status' })]);
  assert.deepEqual(answers, [{ command: 'mark' }, { command: 'status' }]);
});

test('the work for who has gone ends, and others are served on', async () => {
  await using folder = temporaryFolder();
  const begun = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<unknown>();
  const handler: Handler = async (request, _tell, { signal }) => {
    if (request.command === 'status') return {};
    begun.resolve();
    await new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    }).catch((error: unknown) => {
      ended.resolve(error);
      throw error;
    });
    return {};
  };
  await using _server = await listen(folder.path, handler, run);
  const stop = new AbortController();
  const answer = ask(folder.path, MARK, stop.signal);
  await begun.promise;
  stop.abort(new Error('enough'));
  await assert.rejects(answer, /enough/);
  assert.equal((await ended.promise) instanceof TidemarkError, true);
  assert.deepEqual(await ask(folder.path, { command: 'status' }), {});
});

test('when the server ends, what it does for others is ended, and who waits is told', async () => {
  let hasEnded = false;
  await using folder = temporaryFolder();
  const begun = Promise.withResolvers<void>();
  const server = await listen(
    folder.path,
    async (_request, _tell, { signal }) => {
      begun.resolve();
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      await sleep(20);
      hasEnded = true;
      return {};
    },
    run,
  );
  const told = assert.rejects(ask(folder.path), { code: 'FAILED', message: '`up` ended before it answered' });
  await begun.promise;
  await server[Symbol.asyncDispose]();
  assert.ok(hasEnded, 'what was begun has ended');
  await told;
});

test('what is no request is refused, however long it is', async () => {
  await using folder = temporaryFolder();
  await using _server = await listen(folder.path, async () => assert.fail('it was carried out'), run);
  for (const text of ['{"command":"erase"}\n', 'no json\n', 'x'.repeat(100_000)]) {
    const socket = createConnection(folder.at('up.sock'));
    socket.on('error', () => undefined);
    socket.write(text);
    const pieces: string[] = [];
    for await (const piece of socket.setEncoding('utf8')) pieces.push(String(piece));
    assert.match(pieces.join(''), /^\{"type":"error","code":"USAGE"/, text.slice(0, 30));
  }
});
