import { once } from 'node:events';
import { createServer, connect } from 'node:net';
import type { Server, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSeededRandom } from '../../src/flow/random.ts';
import type { SeededRandom } from '../../src/flow/random.ts';
import { freePort } from './free-port.ts';

export type ProxyOptions = {
  readonly toPort: number;
  readonly port?: number;
};

/** On its way since, and how much of it may be on its way. */
const MAX_UNDERWAY_BYTES = 1024 * 1024;

/** A network between a client and a server on 127.0.0.1, which does what networks do. Its conditions hold for present and later connections. */
export class TcpProxy implements AsyncDisposable {
  readonly port: number;
  #toPort: number;
  #server: Server | undefined;
  readonly #links = new Set<Link>();
  /** Undefined while bytes flow. */
  #held: PromiseWithResolvers<void> | undefined;
  #bytesPerSecond = Number.POSITIVE_INFINITY;
  #delayMs = 0;
  #loss: { readonly random: SeededRandom; readonly meanBytes: number } | undefined;
  #bytes = 0;

  constructor({ toPort, port }: ProxyOptions & { readonly port: number }) {
    this.#toPort = toPort;
    this.port = port;
  }

  /** Of all connections, in both directions, that were passed on so far. */
  get bytes(): number {
    return this.#bytes;
  }

  get connections(): number {
    return this.#links.size;
  }

  /** New connections lead there; present ones stay. */
  leadTo(port: number): void {
    this.#toPort = port;
  }

  /** Breaks all connections now, without a word to either side's program. New ones are let through. */
  cut(): void {
    for (const link of this.#links) link.break();
  }

  /** New connections are refused, as if nobody listened. Present ones stay. */
  async refuse(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    server.close();
    // It has ended for new ones at once; `close` would wait for the present ones.
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** New connections are let through again. */
  async accept(): Promise<void> {
    if (this.#server) return;
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#open(socket));
    server.listen(this.port, '127.0.0.1');
    await once(server, 'listening');
    this.#server = server;
  }

  /** Bytes stay where they are, as behind a cable that was pulled: no end is told. */
  pause(): void {
    this.#held ??= Promise.withResolvers();
  }

  resume(): void {
    this.#held?.resolve();
    this.#held = undefined;
  }

  /** A limit for each direction of each connection. */
  slow({ bytesPerSecond }: { readonly bytesPerSecond: number }): void {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** What comes in goes out so much later. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  /** Each connection breaks after a random number of bytes, `meanBytes` on average; undefined: none does any more. */
  lossy(loss: { readonly seed: number; readonly meanBytes: number } | undefined): void {
    this.#loss = loss && { random: createSeededRandom(loss.seed), meanBytes: loss.meanBytes };
    for (const link of this.#links) link.breaksAfter = this.#breaksAfter();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const refused = this.refuse();
    this.resume();
    this.cut();
    await refused;
  }

  #breaksAfter(): number {
    if (!this.#loss) return Number.POSITIVE_INFINITY;
    return Math.ceil(-Math.log(1 - this.#loss.random.next()) * this.#loss.meanBytes);
  }

  #open(near: Socket): void {
    const far = connect({ port: this.#toPort, host: '127.0.0.1', allowHalfOpen: true });
    const link = new Link(near, far, this.#breaksAfter());
    this.#links.add(link);
    const directions = [
      [near, far],
      [far, near],
    ] as const;
    void Promise.all(directions.map(([from, to]) => this.#carry(link, from, to)))
      // Broken at one side or by us: so it is at the other.
      .catch(() => link.break())
      .finally(() => this.#links.delete(link));
  }

  async #carry(link: Link, from: Socket, to: Socket): Promise<void> {
    const underway: { readonly piece: Buffer; readonly dueMs: number }[] = [];
    let underwayBytes = 0;
    let isDone = false;
    let changed = Promise.withResolvers<void>();
    const tell = (): void => {
      changed.resolve();
      changed = Promise.withResolvers();
    };
    const take = async (): Promise<void> => {
      for await (const piece of from as AsyncIterable<Buffer>) {
        underway.push({ piece, dueMs: performance.now() + this.#delayMs });
        underwayBytes += piece.byteLength;
        tell();
        while (underwayBytes > MAX_UNDERWAY_BYTES) await changed.promise;
      }
      isDone = true;
      tell();
    };
    const give = async (): Promise<void> => {
      for (;;) {
        const next = underway.shift();
        if (!next && isDone) break;
        if (!next) {
          await changed.promise;
          continue;
        }
        await sleepUntil(next.dueMs);
        await this.#pass(link, to, next.piece);
        underwayBytes -= next.piece.byteLength;
        tell();
      }
      to.end();
    };
    await Promise.all([take(), give()]).catch((error: unknown) => {
      isDone = true;
      underwayBytes = 0;
      tell();
      throw error;
    });
  }

  async #pass(link: Link, to: Socket, whole: Buffer): Promise<void> {
    const step = Math.max(1, Math.min(whole.byteLength, Math.ceil(this.#bytesPerSecond / 20)));
    for (let offset = 0; offset < whole.byteLength; offset += step) {
      const piece = whole.subarray(offset, offset + step);
      while (this.#held && !link.isBroken) await Promise.race([this.#held.promise, link.broken]);
      await sleepUntil(performance.now() + (piece.byteLength / this.#bytesPerSecond) * 1000);
      if (link.isBroken) throw new Error('broken');
      const left = piece.subarray(0, link.breaksAfter);
      link.breaksAfter -= left.byteLength;
      this.#bytes += left.byteLength;
      if (left.byteLength > 0 && !to.write(left)) await Promise.race([once(to, 'drain'), link.broken]);
      if (link.breaksAfter <= 0) throw new Error('broken');
    }
  }
}

async function sleepUntil(ms: number): Promise<void> {
  const waitMs = ms - performance.now();
  if (waitMs > 0.5) await sleep(waitMs);
}

class Link {
  readonly broken: Promise<void>;
  isBroken = false;
  breaksAfter: number;
  readonly #sockets: readonly Socket[];
  readonly #break: () => void;

  constructor(near: Socket, far: Socket, breaksAfter: number) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.broken = promise;
    this.#break = resolve;
    this.#sockets = [near, far];
    this.breaksAfter = breaksAfter;
    for (const socket of this.#sockets) {
      socket.setNoDelay(true);
      socket.on('error', () => this.break());
    }
  }

  break(): void {
    if (this.isBroken) return;
    this.isBroken = true;
    this.#break();
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }
}

/** Listens on a free port and leads to `toPort`, both of 127.0.0.1. */
export async function startProxy({ toPort, port }: ProxyOptions): Promise<TcpProxy> {
  const proxy = new TcpProxy({ toPort, port: port ?? (await freePort()) });
  await proxy.accept();
  return proxy;
}
