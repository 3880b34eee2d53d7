import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Base, Content, Entry, Recorder } from '../core/recorder.ts';
import { checkMemoryEntry, MemoryStore, valuesOf } from './memory-store.ts';
import { recorderChecks, registerRecorderSuite, runRecorderCheck } from './recorder-suite.ts';
import type { RecorderSuite, StoredChecks } from './recorder-suite.ts';

type Wrap = (recorder: Recorder, store: MemoryStore) => Recorder;

const honest: StoredChecks = { checkEntry: checkMemoryEntry };

function suiteOf(name: string, wrap: Wrap = (recorder) => recorder, connector = honest): RecorderSuite {
  return {
    name,
    traits: { exact: 'position', recognizes: true },
    connector,
    seed: 1,
    async open() {
      const store = new MemoryStore('l1');
      return {
        open: async () => wrap(store.openRecorder(), store),
        put: async (key, value) => store.put(key, value),
        restored: valuesOf,
        async [Symbol.asyncDispose]() {},
      };
    },
  };
}

registerRecorderSuite({ ...suiteOf('memory'), seed: undefined });

function withBase(change: (base: Base) => Partial<Base>): Wrap {
  return (recorder) => ({
    ...recorder,
    async openBase(run) {
      const base = await recorder.openBase(run);
      return {
        entries: base.entries,
        retry: (entry, cause, inner) => base.retry(entry, cause, inner),
        finish: (inner) => base.finish(inner),
        [Symbol.asyncDispose]: () => base[Symbol.asyncDispose](),
        ...change(base),
      };
    },
  });
}

async function* mapped(base: Base, change: (entry: Entry) => readonly Entry[]): AsyncGenerator<readonly Entry[]> {
  for await (const batch of base.entries) yield batch.flatMap(change);
}

function withEntries(change: (entry: Entry) => readonly Entry[]): Wrap {
  return withBase((base) => ({ entries: mapped(base, change) }));
}

function withContent(change: (content: Content & { readonly kind: 'reader' }) => Content): Wrap {
  return withEntries((entry) => [
    {
      ...entry,
      describe() {
        const { attributes, content } = entry.describe();
        return { attributes, content: content?.kind === 'reader' ? change(content) : content };
      },
    },
  ]);
}

type Liar = readonly [name: string, noticedBy: string, wrap: Wrap | undefined, connector?: StoredChecks];

const liars: readonly Liar[] = [
  ['is less exact than it says', 'as exact as', (recorder) => ({ ...recorder, exact: 'observation' })],
  [
    'starts a lineage with each recorder',
    'positions go on',
    (recorder) => ({ ...recorder, lineage: { id: `l${Math.random()}` } }),
  ],
  [
    'gives a later base the position of an earlier one',
    'positions go on',
    withBase((base) => ({
      async finish(run) {
        const end = await base.finish(run);
        return { ...end, logFrom: { ...end.cut, order: '' }, cut: { ...end.cut, order: '0' } };
      },
    })),
  ],
  [
    'asks for the log from behind its cut',
    'positions go on',
    withBase((base) => ({
      async finish(run) {
        const end = await base.finish(run);
        return { ...end, logFrom: { ...end.cut, order: `${end.cut.order}0` } };
      },
    })),
  ],
  ['leaves an entry out', 'between random edits', withEntries((entry) => (endsIn(entry, '7') ? [] : [entry]))],
  [
    'loses what changes while it records',
    'is in it before or after',
    (recorder, store) => {
      const { openBase } = recorder;
      return {
        ...recorder,
        async openBase(run) {
          const base = await openBase(run);
          const put = store.put.bind(store);
          store.put = (key) => put(key, 'overwritten by the recorder');
          return base;
        },
      };
    },
  ],
  ['gives an entry twice', 'names ascend', withEntries((entry) => [entry, entry])],
  ['estimates nonsense', 'names ascend', withEntries((entry) => [{ ...entry, estimatedBytes: Number.NaN }])],
  [
    'finishes what was not read',
    'not all pulled',
    withBase((base) => ({
      async finish(run) {
        for await (const _ of base.entries);
        return await base.finish(run);
      },
    })),
  ],
  [
    'goes on where a base was left early',
    'left early',
    (recorder) => {
      let first: Promise<Base> | undefined;
      return {
        ...recorder,
        openBase(run) {
          first ??= recorder.openBase(run);
          return first;
        },
      };
    },
  ],
  [
    'does not look at the signal',
    'a signal that has aborted',
    (recorder) => ({ ...recorder, openBase: () => recorder.openBase({ signal: new AbortController().signal }) }),
  ],
  ['tries for ever', 'changes each time', withBase(() => ({ retry: async (entry) => entry }))],
  ['leaves out without a word', 'can’t be read', withBase(() => ({ retry: async () => undefined }))],
  [
    'tells of what is not missing',
    'nothing is told',
    withBase((base) => ({ finish: async (run) => ({ ...(await base.finish(run)), skippedCount: 1 }) })),
  ],
  [
    'can’t be disposed twice',
    'disposed twice',
    (recorder) => {
      let disposed = false;
      return {
        ...recorder,
        async [Symbol.asyncDispose]() {
          assert.ok(!disposed, 'disposed');
          disposed = true;
        },
      };
    },
  ],
  [
    'describes an entry otherwise the second time',
    'described twice',
    withEntries((entry) => {
      let count = 0;
      return [{ ...entry, describe: () => ({ ...entry.describe(), attributes: Buffer.of(count++) }) }];
    }),
  ],
  [
    'has a content only once',
    'described twice',
    withEntries((entry) => {
      let count = 0;
      return [
        {
          ...entry,
          describe() {
            const { attributes, content } = entry.describe();
            return { attributes, content: count++ === 0 ? content : undefined };
          },
        },
      ];
    }),
  ],
  [
    'gives more at a time than there is room for',
    'whatever pieces',
    withContent((content) => ({
      ...content,
      open: async () => ({ read: async (into) => into.byteLength + 1, async [Symbol.asyncDispose]() {} }),
    })),
  ],
  [
    'ends where the caller’s buffer is small',
    'whatever pieces',
    withContent((content) => ({
      ...content,
      async open(run) {
        const reader = await content.open(run);
        return {
          read: async (into) => (into.byteLength < 5 ? 0 : await reader.read(into)),
          [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose](),
        };
      },
    })),
  ],
  [
    'recognizes by length',
    'never has the fingerprint',
    withEntries((entry) => [{ ...entry, fingerprint: Buffer.of(entry.estimatedBytes & 0xff) }]),
  ],
  ['recognizes nothing', 'is recognized', withEntries((entry) => [{ ...entry, fingerprint: undefined }])],
  [
    'writes what its connector does not know',
    'can be decoded by its connector',
    withEntries((entry) => [
      { ...entry, describe: () => ({ ...entry.describe(), attributes: Buffer.from('revision of long ago') }) },
    ]),
  ],
  ['has a connector that takes everything', 'nothing can be made of', undefined, { checkEntry: () => undefined }],
  [
    'has a connector that takes all contents',
    'are looked into',
    undefined,
    { ...honest, checkContents: async () => undefined },
  ],
];

function endsIn({ name }: Entry, end: string): boolean {
  return Buffer.from(name).toString().endsWith(end);
}

for (const [name, noticedBy, wrap, connector] of liars) {
  test(`a recorder that ${name} is noticed`, async (t) => {
    const check = recorderChecks.find(({ title }) => title.includes(noticedBy));
    assert.ok(check !== undefined, `a check about “${noticedBy}”`);
    await assert.rejects(runRecorderCheck(check, suiteOf('liar', wrap, connector), t.signal), /^Error: seed 1: /);
  });
}

test('each promise is broken by some liar, or is one about two at once', () => {
  const unbroken = recorderChecks.filter(({ title }) => !liars.some(([, noticedBy]) => title.includes(noticedBy)));
  assert.deepEqual(
    unbroken.map(({ title }) => title),
    ['two recorders at once do not disturb each other'],
  );
});
