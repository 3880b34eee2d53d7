import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from './guarded.ts';
import { startProxy } from './proxy.ts';

/** Sends back what it gets, and ends when its client has ended. */
async function startEcho(): Promise<{ readonly port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // Of a TCP server it is never a path.
  const { port } = server.address() as AddressInfo;
  const dispose = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  };
  return { port, [Symbol.asyncDispose]: dispose };
}

class Client {
  readonly socket: Socket;
  received: Buffer = Buffer.alloc(0);
  ending: 'end' | 'ECONNRESET' | 'ECONNREFUSED' | undefined;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1' });
    this.socket.on('data', (piece) => {
      this.received = Buffer.concat([this.received, Buffer.from(piece)]);
    });
    this.socket.on('end', () => {
      this.ending = 'end';
    });
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      assert.ok(error.code === 'ECONNRESET' || error.code === 'ECONNREFUSED', error.code);
      this.ending = error.code;
    });
  }

  async until(what: string, isSo: () => boolean): Promise<void> {
    await waitUntil(what, isSo, 10_000);
  }
}

test('bytes go through whole and in order, and so does an end', async () => {
  await using echo = await startEcho();
  await using proxy = await startProxy({ toPort: echo.port });
  const client = new Client(proxy.port);
  const sent = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => index * 7));
  client.socket.end(sent);
  await client.until('the end', () => client.ending === 'end');
  assert.ok(client.received.equals(sent));
  assert.equal(proxy.bytes, 6_000_000);
  await client.until('the link is gone', () => proxy.connections === 0);
});

test('a cut breaks what is there, and new connections get through', async () => {
  await using echo = await startEcho();
  await using proxy = await startProxy({ toPort: echo.port });
  for (let times = 0; times < 3; times += 1) {
    const client = new Client(proxy.port);
    client.socket.write('a');
    await client.until('the echo', () => client.received.equals(Buffer.from('a')));
    proxy.cut();
    await client.until('the break', () => client.ending === 'ECONNRESET');
  }
});

test('who is refused gets in when it is accepted again', async () => {
  await using echo = await startEcho();
  await using proxy = await startProxy({ toPort: echo.port });
  const present = new Client(proxy.port);
  present.socket.write('a');
  await present.until('the echo', () => present.received.byteLength === 1);
  await proxy.refuse();
  const refused = new Client(proxy.port);
  await refused.until('the refusal', () => refused.ending === 'ECONNREFUSED');
  present.socket.write('b');
  await present.until('the echo', () => present.received.byteLength === 2);
  await proxy.accept();
  const accepted = new Client(proxy.port);
  accepted.socket.end('c');
  await accepted.until('the echo', () => accepted.ending === 'end');
});

test('while it is paused nothing arrives and nothing ends; then all of it does', async () => {
  await using echo = await startEcho();
  await using proxy = await startProxy({ toPort: echo.port });
  const client = new Client(proxy.port);
  proxy.pause();
  client.socket.end('abc');
  await sleep(50);
  assert.deepEqual([client.received.byteLength, client.ending], [0, undefined]);
  proxy.resume();
  await client.until('the end', () => client.ending === 'end');
  assert.equal(client.received.toString(), 'abc');
  proxy.pause();
  const held = new Client(proxy.port);
  held.socket.write('x');
  await held.until('the link', () => proxy.connections > 0);
  proxy.cut();
  await held.until('the break', () => held.ending === 'ECONNRESET');
});

test('slow and late bytes take their time and all arrive', async () => {
  await using echo = await startEcho();
  await using proxy = await startProxy({ toPort: echo.port });
  const time = async (): Promise<number> => {
    const startMs = performance.now();
    const client = new Client(proxy.port);
    client.socket.end(Buffer.alloc(40_000, 'x'));
    await client.until('the end', () => client.ending === 'end');
    assert.equal(client.received.byteLength, 40_000);
    return performance.now() - startMs;
  };
  proxy.slow({ bytesPerSecond: 200_000 });
  assert.ok((await time()) >= 190);
  proxy.slow({ bytesPerSecond: Number.POSITIVE_INFINITY });
  proxy.delay(100);
  assert.ok((await time()) >= 190);
});

test('a lossy network breaks connections at random, the same for the same seed', async () => {
  await using echo = await startEcho();
  await using proxy = await startProxy({ toPort: echo.port });
  const break20 = async (): Promise<readonly number[]> => {
    proxy.lossy({ seed: 7, meanBytes: 5000 });
    const places: number[] = [];
    for (let count = 0; count < 20; count += 1) {
      const before = proxy.bytes;
      const client = new Client(proxy.port);
      client.socket.end(Buffer.alloc(100_000));
      await client.until('an end', () => client.ending !== undefined);
      assert.equal(client.ending, 'ECONNRESET');
      await client.until('the link is gone', () => proxy.connections === 0);
      places.push(proxy.bytes - before);
    }
    return places;
  };
  const places = await break20();
  assert.ok(new Set(places).size > 10);
  assert.deepEqual(await break20(), places);
  proxy.lossy(undefined);
  const client = new Client(proxy.port);
  client.socket.end(Buffer.alloc(100_000));
  await client.until('the end', () => client.ending === 'end');
});
