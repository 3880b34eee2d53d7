import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isTidemarkError } from '../../core/errors.ts';
import { BugError, must } from '../../core/must.ts';
import {
  bytesOf,
  inBatches,
  NEVER,
  readerOf,
  RecordingSink,
  recordStore,
  SMALL,
} from '../../testing/pipeline-fixture.ts';
import type { BlockSink, PipelineEngine, StoreSource } from './engine.ts';
import { createInPlaceEngine } from './in-place-engine.ts';
import { createWorkerEngine } from './worker-engine.ts';

const engines: readonly (readonly [name: string, create: () => PipelineEngine])[] = [
  ['in place', () => createInPlaceEngine(SMALL)],
  ['on workers', () => createWorkerEngine(SMALL)],
];

/** Small contents, some of them larger than a slot, enough of them for many tasks. */
function sourcesOf(count: number, options: Parameters<typeof readerOf>[1] = {}): StoreSource<string>[] {
  return Array.from({ length: count }, (_, index) => {
    const bytes = bytesOf(`${index}`, index % 10 === 0 ? 100_000 : 5000, index % 2 === 0);
    return { tag: `${index}`, content: readerOf(bytes, options) };
  });
}

async function drain(outcomes: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of outcomes);
}

/** Counts what an engine is doing at this moment in its owner's objects, and can abort at any of these calls. */
class Watched {
  readonly controller = new AbortController();
  readonly reason = new Error('enough');
  readonly #abortAt: number;
  calls = 0;
  openReaders = 0;
  runningBlocks = 0;

  constructor(abortAt = Number.POSITIVE_INFINITY) {
    this.#abortAt = abortAt;
  }

  readonly happen = (): void => {
    this.calls += 1;
    if (this.calls === this.#abortAt) this.controller.abort(this.reason);
  };

  sources(count: number): StoreSource<string>[] {
    return sourcesOf(count, { stepBytes: 4000, onRead: this.happen }).map(({ tag, content }) => {
      const { cut, open } = must(content?.kind === 'reader' ? content : undefined, 'it is a reader');
      const counted = async (run: Parameters<typeof open>[0]) => {
        const reader = await open(run);
        this.openReaders += 1;
        return {
          read: (into: Uint8Array) => reader.read(into),
          [Symbol.asyncDispose]: async () => {
            this.openReaders -= 1;
          },
        };
      };
      return { tag, content: { cut, kind: 'reader', open: counted } };
    });
  }

  readonly sink: BlockSink = {
    claim: () => {
      this.happen();
      return true;
    },
    block: async () => {
      this.runningBlocks += 1;
      this.happen();
      await nextTurn();
      this.runningBlocks -= 1;
    },
  };
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

for (const [name, create] of engines) {
  test(`${name}: an abort at any moment ends everything, and the engine goes on to serve`, async () => {
    await using engine = create();
    const whole = new Watched();
    await drain(engine.store(inBatches(whole.sources(40), 7), whole.sink, NEVER));
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: whole.calls }), async (abortAt) => {
        const watched = new Watched(abortAt);
        const outcomes = engine.store(inBatches(watched.sources(40), 7), watched.sink, watched.controller);
        await assert.rejects(drain(outcomes), (error) => error === watched.reason);
        assert.deepEqual([watched.openReaders, watched.runningBlocks], [0, 0]);
        const { calls } = watched;
        await nextTurn();
        assert.equal(watched.calls, calls);
      }),
      { numRuns: 15 },
    );
    const after = await recordStore(engine, sourcesOf(40));
    assert.equal(after.outcomes.length, 40);
  });

  test(`${name}: a run that was aborted before it began calls nothing`, async () => {
    await using engine = create();
    const watched = new Watched();
    watched.controller.abort(watched.reason);
    await assert.rejects(
      drain(engine.store(inBatches(watched.sources(3), 1), watched.sink, watched.controller)),
      watched.reason,
    );
    await assert.rejects(engine.compress([bytesOf('x', 10)], watched.controller), watched.reason);
    assert.equal(watched.calls, 0);
  });

  test(`${name}: whoever takes no more outcomes ends the run`, async () => {
    await using engine = create();
    const watched = new Watched();
    let returned = false;
    async function* sources(): AsyncGenerator<readonly StoreSource<string>[]> {
      try {
        for (;;) yield watched.sources(5);
      } finally {
        returned = true;
      }
    }
    for await (const _ of engine.store(sources(), watched.sink, NEVER)) break;
    assert.deepEqual([watched.openReaders, watched.runningBlocks, returned], [0, 0, true]);
  });

  test(`${name}: a run ends with the error of its sink or of its sources`, async () => {
    await using engine = create();
    const error = new Error('no room');
    const sources = (): AsyncGenerator<readonly StoreSource<string>[]> => inBatches(sourcesOf(40), 3);
    const block = { claim: () => true, block: () => Promise.reject(error) };
    await assert.rejects(drain(engine.store(sources(), block, NEVER)), error);
    const claim = {
      claim: () => {
        throw error;
      },
      block: async () => undefined,
    };
    await assert.rejects(drain(engine.store(sources(), claim, NEVER)), error);
    async function* failing(): AsyncGenerator<readonly StoreSource<string>[]> {
      yield* sources();
      throw error;
    }
    await assert.rejects(drain(engine.store(failing(), new RecordingSink(), NEVER)), error);
  });

  test(`${name}: a reader that claims more than it was asked for is a bug`, async () => {
    await using engine = create();
    const open = async () => ({
      read: async (into: Uint8Array) => into.byteLength + 1,
      [Symbol.asyncDispose]: async () => undefined,
    });
    const sources = inBatches<StoreSource<string>>([{ tag: 'x', content: { cut: 'stream', kind: 'reader', open } }], 1);
    await assert.rejects(drain(engine.store(sources, new RecordingSink(), NEVER)), BugError);
  });

  test(`${name}: sources that never come don’t keep a failed or aborted run from ending`, async () => {
    await using engine = create();
    const controller = new AbortController();
    const reason = new Error('enough');
    const waiting = Promise.withResolvers<void>();
    const sources = {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          waiting.resolve();
          return new Promise<never>(() => undefined);
        },
      }),
    };
    const drained = drain(engine.store(sources, new RecordingSink(), controller));
    await waiting.promise;
    controller.abort(reason);
    await assert.rejects(drained, reason);
  });

  test(`${name}: a sink that takes its time holds the reading back`, async () => {
    await using engine = create();
    const controller = new AbortController();
    let pulledBytes = 0;
    const endless = readerOf(new Uint8Array(0));
    const open = async () => ({
      read: async (into: Uint8Array) => {
        pulledBytes += into.byteLength;
        into.set(bytesOf(`${pulledBytes}`, into.byteLength));
        return into.byteLength;
      },
      [Symbol.asyncDispose]: async () => undefined,
    });
    const called = Promise.withResolvers<void>();
    const sink = {
      claim: () => true,
      block: async (_: unknown, { signal }: { readonly signal: AbortSignal }) => {
        called.resolve();
        await new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason), { once: true });
        });
      },
    };
    const sources = inBatches<StoreSource<string>>(
      [{ tag: 'endless', content: { ...endless, kind: 'reader', open } }],
      1,
    );
    const drained = drain(engine.store(sources, sink, controller));
    await called.promise;
    // More turns than would fill all slots if something still went on.
    for (let turn = 0; turn < 200; turn += 1) await nextTurn();
    assert.ok(pulledBytes <= 6 * SMALL.capacityBytes, `${pulledBytes}`);
    const before = pulledBytes;
    for (let turn = 0; turn < 50; turn += 1) await nextTurn();
    assert.equal(pulledBytes, before);
    controller.abort();
    await assert.rejects(drained);
  });

  test(`${name}: a run can be made while another one’s outcomes are being taken`, async () => {
    await using engine = create();
    const sink = new RecordingSink();
    let inner = 0;
    for await (const outcomes of engine.store(inBatches(sourcesOf(200), 10), sink, NEVER)) {
      for (const { tag } of outcomes) {
        if (Number(tag) % 100 !== 50) continue;
        const record = await recordStore(engine, sourcesOf(60));
        inner += record.outcomes.length;
      }
    }
    assert.equal(inner, 2 * 60);
  });

  test(`${name}: disposing ends what runs, can be repeated, and is the end`, async () => {
    const engine = create();
    const watched = new Watched();
    const drained = drain(engine.store(inBatches(watched.sources(400), 1), watched.sink, NEVER));
    const rejected = assert.rejects(drained, /the pipeline was closed/);
    while (watched.calls < 100) await nextTurn();
    await engine[Symbol.asyncDispose]();
    assert.deepEqual([watched.openReaders, watched.runningBlocks], [0, 0]);
    await rejected;
    await engine[Symbol.asyncDispose]();
    await assert.rejects(drain(engine.store(inBatches(sourcesOf(1), 1), watched.sink, NEVER)), BugError);
    await assert.rejects(engine.compress([], NEVER), BugError);
  });

  test(`${name}: disposing does not wait for someone who takes no more outcomes`, async () => {
    const engine = create();
    const watched = new Watched();
    const outcomes = engine.store(inBatches(watched.sources(400), 1), watched.sink, NEVER)[Symbol.asyncIterator]();
    await outcomes.next();
    await engine[Symbol.asyncDispose]();
    assert.deepEqual([watched.openReaders, watched.runningBlocks], [0, 0]);
  });
}

const crashes: readonly (readonly [what: string, program: string])[] = [
  ['does not start', `throw new Error('broken')`],
  ['exits', `process.exit(3)`],
  [
    'exits when it gets work',
    `import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => process.exit(3))`,
  ],
  [
    'fails in the midst of its work',
    `import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => { throw new Error('broken'); })`,
  ],
];

for (const [what, program] of crashes) {
  test(`a worker that ${what} fails the run with a clear error`, async () => {
    await using engine = createWorkerEngine({
      ...SMALL,
      program: new URL(`data:text/javascript,${encodeURIComponent(program)}`),
    });
    for (let attempt = 0; attempt < 2; attempt += 1) {
      await assert.rejects(recordStore(engine, sourcesOf(20)), (error) => {
        return (
          isTidemarkError(error, 'FAILED') &&
          /a worker thread has crashed: (broken|it exited with 3)/.test(error.message)
        );
      });
    }
  });
}
