import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import { createVirtualClock } from '../flow/virtual-clock.ts';
import type { ObjectInfo, ObjectStore, ObjectStoreCapabilities } from '../objects/object-store.ts';
import { forward } from '../objects/wrappers/forward.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import type { MemoryObjectStoreOptions } from './memory-object-store.ts';
import { objectStoreChecks, runObjectStoreCheck } from './object-store-suite.ts';

const STRONG: ObjectStoreCapabilities = { exclusiveCreate: true, provesDigest: false, listsAtOnce: true };

type Liar = {
  /** What is wrong with it. */
  readonly name: string;
  /** The title, or a piece of it, of a check that must notice. */
  readonly noticedBy: string;
  readonly options?: Omit<MemoryObjectStoreOptions, 'clock'>;
  readonly lie?: (memory: MemoryObjectStore, honest: ObjectStore) => Partial<ObjectStore>;
};

async function* mapBatches(
  batches: AsyncIterable<readonly ObjectInfo[]>,
  change: (batch: readonly ObjectInfo[]) => readonly ObjectInfo[],
): AsyncGenerator<readonly ObjectInfo[]> {
  for await (const batch of batches) yield change(batch);
}

async function* allAtOnce(
  batches: AsyncIterable<readonly ObjectInfo[]>,
  compare?: (left: ObjectInfo, right: ObjectInfo) => number,
) {
  const all: ObjectInfo[] = [];
  for await (const batch of batches) all.push(...batch);
  yield compare === undefined ? all : all.sort(compare);
}

function byFolder(left: ObjectInfo, right: ObjectInfo): number {
  const [a, b] = [left.key.replaceAll('/', '\0'), right.key.replaceAll('/', '\0')];
  return a < b ? -1 : Number(a > b);
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const liars: readonly Liar[] = [
  {
    name: 'claims an exclusive create that it does not have',
    noticedBy: 'a key that is taken',
    options: { exclusiveCreate: false },
    lie: () => ({ capabilities: STRONG }),
  },
  {
    name: 'tells several racers that they won',
    noticedBy: 'of many that create',
    lie: (_, honest) => ({
      async create(key, body, run) {
        const known = await honest.stat(key, run);
        await turn();
        if (known !== undefined) await honest.create(key, body, run);
        else await honest.create(key, body, run).catch(() => undefined);
      },
    }),
  },
  {
    name: 'claims listings that are up to date',
    noticedBy: 'listed at once',
    options: { listingLagMs: () => 1000 },
    lie: () => ({ capabilities: STRONG }),
  },
  {
    name: 'says less of itself than it was registered with',
    noticedBy: 'the store has the capabilities',
    lie: () => ({ capabilities: { ...STRONG, listsAtOnce: false } }),
  },
  {
    name: 'shows a create while it runs',
    noticedBy: 'nobody ever sees half',
    lie: (memory, honest) => ({
      async create(key, body, run) {
        const whole = Buffer.concat(body);
        memory.put(key, whole.subarray(0, whole.byteLength / 2));
        await turn();
        await turn();
        memory.remove(key);
        await honest.create(key, body, run);
      },
    }),
  },
  {
    name: 'leaves half when it is aborted',
    noticedBy: 'an aborted create',
    lie: (memory, honest) => ({
      async create(key, body, run) {
        for (let parts = 1; parts < body.length; parts += 1) {
          await turn();
          if (!run.signal.aborted) continue;
          memory.put(key, Buffer.concat(body.slice(0, parts)));
          throw run.signal.reason;
        }
        await honest.create(key, body, run);
      },
    }),
  },
  {
    name: 'throws an error of its own when aborted',
    noticedBy: 'an aborted create',
    lie: (_, honest) => ({
      async create(key, body, run) {
        for (let turns = 0; turns < body.length; turns += 1) {
          await turn();
          if (run.signal.aborted) throw new TidemarkError('INTERRUPTED', 'aborted');
        }
        await honest.create(key, body, run);
      },
    }),
  },
  {
    name: 'does not look at the signal',
    noticedBy: 'a signal that has aborted',
    lie: (_, honest) => ({ stat: (key) => honest.stat(key, { signal: new AbortController().signal }) }),
  },
  {
    name: 'keeps the caller’s buffer',
    noticedBy: 'the parts are the caller’s again',
    lie: (memory, honest) => ({
      async create(key, body, run) {
        await honest.create(key, body, run);
        const [first, second] = body;
        if (body.length === 2 && first !== undefined && second !== undefined) {
          memory.put(key, new Uint8Array(first.buffer, first.byteOffset, first.byteLength + second.byteLength));
        }
      },
    }),
  },
  {
    name: 'loses the parts behind the first thousand',
    noticedBy: 'a body is all of its parts',
    lie: (_, honest) => ({ create: (key, body, run) => honest.create(key, body.slice(0, 1000), run) }),
  },
  {
    name: 'puts something into empty bodies',
    noticedBy: 'may be empty',
    lie: (_, honest) => ({
      create: (key, body, run) => honest.create(key, body.length === 0 ? [Buffer.of(0)] : body, run),
    }),
  },
  {
    name: 'reads short',
    noticedBy: 'a read fills exactly',
    lie: (_, honest) => ({
      read: (key, offset, into, run) => honest.read(key, offset, into.subarray(0, Math.min(into.length, 65_535)), run),
    }),
  },
  {
    name: 'writes behind the view',
    noticedBy: 'a read fills exactly',
    lie: (_, honest) => ({
      async read(key, offset, into, run) {
        const count = await honest.read(key, offset, into, run);
        if (into.byteOffset + into.byteLength < into.buffer.byteLength) {
          new Uint8Array(into.buffer)[into.byteOffset + into.byteLength] = 1;
        }
        return count;
      },
    }),
  },
  {
    name: 'takes an absent object for an empty one',
    noticedBy: 'what is absent',
    lie: (_, honest) => ({
      read: async (key, offset, into, run) =>
        (await honest.stat(key, run)) === undefined ? 0 : await honest.read(key, offset, into, run),
    }),
  },
  {
    name: 'throws at a look at what is absent',
    noticedBy: 'what is absent',
    lie: (_, honest) => ({
      async stat(key, run) {
        const info = await honest.stat(key, run);
        if (info === undefined) throw new TidemarkError('OBJECT_NOT_FOUND', 'absent');
        return info;
      },
    }),
  },
  {
    name: 'takes any key',
    noticedBy: 'of another form are refused',
    lie: (_, honest) => ({ stat: async (key, run) => (key.includes('..') ? undefined : await honest.stat(key, run)) }),
  },
  {
    name: 'lists folder by folder',
    noticedBy: 'bytewise order',
    lie: (_, honest) => ({ list: (prefix, after, run) => allAtOnce(honest.list(prefix, after, run), byFolder) }),
  },
  {
    name: 'lists the key that it was to begin after',
    noticedBy: 'bytewise order',
    lie: (_, honest) => ({
      async *list(prefix, after, run) {
        const info = after.startsWith(prefix) && /[a-z0-9]$/.test(after) ? await honest.stat(after, run) : undefined;
        if (info !== undefined) yield [info];
        yield* honest.list(prefix, after, run);
      },
    }),
  },
  {
    name: 'takes a prefix for a folder',
    noticedBy: 'bytewise order',
    lie: (_, honest) => ({
      list: (prefix, after, run) =>
        honest.list(prefix === '' || prefix.endsWith('/') || prefix.length > 400 ? prefix : `${prefix}/`, after, run),
    }),
  },
  {
    name: 'gives batches of any size',
    noticedBy: '2,500 objects',
    lie: (_, honest) => ({ list: (prefix, after, run) => allAtOnce(honest.list(prefix, after, run)) }),
  },
  {
    name: 'lists only the first batch',
    noticedBy: '2,500 objects',
    lie: (_, honest) => ({
      async *list(prefix, after, run) {
        for await (const batch of honest.list(prefix, after, run)) {
          yield batch;
          return;
        }
      },
    }),
  },
  {
    name: 'lists another size',
    noticedBy: 'agree',
    lie: (_, honest) => ({
      list: (prefix, after, run) =>
        mapBatches(honest.list(prefix, after, run), (batch) =>
          batch.map((info) => ({ ...info, sizeBytes: info.sizeBytes + 1 })),
        ),
    }),
  },
  {
    name: 'deletes only the first',
    noticedBy: 'a delete removes',
    lie: (_, honest) => ({ delete: (keys, run) => honest.delete(keys.slice(0, 1), run) }),
  },
  {
    name: 'stumbles over an absent key',
    noticedBy: 'a delete removes',
    lie: (memory, honest) => ({
      async delete(keys, run) {
        if (keys.some((key) => memory.get(key) === undefined)) throw new TidemarkError('OBJECT_NOT_FOUND', 'absent');
        await honest.delete(keys, run);
      },
    }),
  },
  {
    name: 'has a clock of its own',
    noticedBy: 'the store’s time',
    lie: (_, honest) => ({ nowMs: async (run) => (await honest.nowMs(run)) + 10 }),
  },
  {
    name: 'can’t be disposed twice',
    noticedBy: 'dispose twice',
    lie: () => {
      let disposed = false;
      return {
        async [Symbol.asyncDispose]() {
          assert.ok(!disposed);
          disposed = true;
        },
      };
    },
  },
  {
    name: 'forgets an object now and then',
    noticedBy: 'random calls',
    lie: (memory, honest) => {
      let creates = 0;
      return {
        async create(key, body, run) {
          await honest.create(key, body, run);
          creates += 1;
          if (creates % 10 === 0) memory.remove(key);
        },
      };
    },
  },
];

function openLiar({ options, lie }: Liar): ObjectStore {
  const memory = new MemoryObjectStore({ ...options, clock: createVirtualClock(Date.parse('2026-03-01T00:00:00Z')) });
  const honest = forward(memory);
  return { ...honest, ...lie?.(memory, honest) };
}

async function verify(liar: Liar, signal: AbortSignal): Promise<void> {
  const check = must(
    objectStoreChecks.find(({ title }) => title.includes(liar.noticedBy)),
    `a check titled ${liar.noticedBy}`,
  );
  const open = async () => {
    const store = openLiar(liar);
    return { store, openAgain: async () => store, [Symbol.asyncDispose]: async () => undefined };
  };
  await runObjectStoreCheck(check, { name: 'liar', open, capabilities: STRONG, seed: 1 }, signal);
}

for (const liar of liars) {
  test(`a store that ${liar.name} is noticed`, async (t) => {
    await assert.rejects(verify(liar, t.signal), `${liar.noticedBy}: noticed nothing`);
  });
}

test('the same store without a lie passes all checks that a liar fails', async (t) => {
  for (const { noticedBy } of liars) await verify({ name: 'honest', noticedBy }, t.signal);
});

test('a failure at random tells its seed', async (t) => {
  const liar = must(liars.at(-1), 'the one that forgets');
  await assert.rejects(verify(liar, t.signal), /^Error: seed 1: /);
});
