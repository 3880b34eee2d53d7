import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { must } from '../../src/core/must.ts';
import { temporaryFolder } from '../../src/testing/tree/temporary-folder.ts';
import type { TemporaryFolder } from '../../src/testing/tree/temporary-folder.ts';
import { attributes, chunkId, joined, sha256 } from './format.ts';
import type { Json } from './format.ts';
import { file, folder, HandMade, link } from './hand-made.ts';
import type { Entry, HandMadeSession } from './hand-made.ts';
import { runKit } from './run-kit.ts';
import type { Ended } from './run-kit.ts';

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  const place = at < 0 ? bytes.length + at : at;
  bytes[place] = (bytes[place] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

/** All paths below a folder, without following links. */
function tree(path: string): readonly string[] {
  const paths = readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    const below = entry.isDirectory() ? tree(join(path, entry.name)) : [];
    return [entry.name, ...below.map((name) => `${entry.name}/${name}`)];
  });
  return paths.sort();
}

/** The path of the pack that holds a chunk: of scattered ones in the order of their contents, the last one holds the nodes. */
function packPath(repository: string, writer: string, packs: readonly string[], index: number): string {
  return join(repository, 'packs', writer, must(packs.at(index), 'a pack'));
}

function restoreInto(temporary: TemporaryFolder, mark = 'latest'): Ended {
  const ended = runKit(['restore', temporary.at('repository'), mark, temporary.at('out')]);
  assert.doesNotMatch(ended.err, / {4}at |TypeError|undefined/);
  return ended;
}

test('a damaged chunk costs its file and nothing else', async () => {
  await using temporary = temporaryFolder();
  const entries = [folder(''), file('a'), folder('d'), file('d/b'), file('d/c'), file('e')];
  const repository = temporary.at('repository');
  const { writer, base } = HandMade.withBase(repository, { entries, scattered: true });
  flip(packPath(repository, writer.id, base.packs, 1), 110);
  const ended = restoreInto(temporary);
  assert.equal(ended.status, 5);
  assert.match(
    ended.err,
    /damaged: uploads: d\/b: the chunk [0-9a-f]{64} is lost: packs\/.*a block was changed, or belongs elsewhere\n/,
  );
  assert.deepEqual(tree(temporary.at('out', 'uploads')), ['a', 'd', 'd/c', 'e']);
  const verified = runKit(['verify', repository]);
  assert.equal(verified.status, 5);
  assert.match(verified.err, /damaged: packs\/[0-9a-f/]+, block 0: a block was changed/);
  assert.match(verified.err, /damaged: uploads \(mark-1\): d\/b: the chunk/);
  assert.equal(verified.err.trimEnd().split('\n').length, 2);
});

test('each way to damage a pack is found, and only what it held is lost', async () => {
  const ways: Readonly<Record<string, (path: string) => void>> = {
    'the key': (path) => flip(path, 30),
    'the salt': (path) => flip(path, 10),
    'the directory': (path) => flip(path, -20),
    'the size of the directory': (path) => flip(path, -7),
    'the magic at the end': (path) => flip(path, -1),
    'the first byte': (path) => flip(path, 0),
    'a cut end': (path) => truncateSync(path, 150),
    'nothing left': (path) => truncateSync(path, 0),
    'a missing pack': (path) => rmSync(path),
    'a folder in its place': (path) => {
      rmSync(path);
      mkdirSync(path);
    },
    'a link in its place': (path) => {
      renameSync(path, `${path}.moved`);
      symlinkSync(`${path}.moved`, path);
    },
    'a fifo in its place': (path) => {
      rmSync(path);
      assert.equal(spawnSync('mkfifo', [path]).status, 0);
    },
  };
  for (const [way, damage] of Object.entries(ways)) {
    await using temporary = temporaryFolder();
    const entries = [folder(''), file('a'), file('b'), file('c')];
    const repository = temporary.at('repository');
    const { writer, base } = HandMade.withBase(repository, { entries, scattered: true });
    damage(packPath(repository, writer.id, base.packs, 1));
    const ended = restoreInto(temporary);
    assert.equal(ended.status, 5, way);
    assert.match(ended.err, /damaged: uploads: b: /, way);
    assert.deepEqual(tree(temporary.at('out', 'uploads')), ['a', 'c'], way);
    assert.equal(runKit(['verify', repository]).status, 5, way);
  }
});

test('a byte that nothing looks at is still found by verify', async () => {
  await using temporary = temporaryFolder();
  const repository = temporary.at('repository');
  const { writer, base } = HandMade.withBase(repository, { entries: [folder(''), file('a')] });
  flip(packPath(repository, writer.id, base.packs, 0), 5);
  const ended = runKit(['verify', repository]);
  assert.equal(ended.status, 5);
  assert.match(ended.err, /the bytes of the pack are not those that its name says/);
  assert.equal(restoreInto(temporary).status, 0);
});

test('a chunk is taken from another place where its first one is damaged', async () => {
  await using temporary = temporaryFolder();
  const repository = temporary.at('repository');
  const { made, writer, base } = HandMade.withBase(repository, { entries: [folder(''), file('a')], scattered: true });
  rmSync(packPath(repository, writer.id, base.packs, 0));
  made.pack(writer, [{ chunks: [{ kind: 'content', plain: Buffer.from('content of a') }] }]);
  const ended = restoreInto(temporary);
  assert.equal(ended.status, 5);
  assert.equal(readFileSync(temporary.at('out', 'uploads', 'a'), 'utf8'), 'content of a');
});

test('what hangs on a lost node is named, folders that it held are made anew, and the rest is restored', async () => {
  await using temporary = temporaryFolder();
  const names = ['a', 'd', 'd/e', 'd/e/f', 'd/g', 'z'];
  const isFile = (name: string): boolean => /[afgz]$/.test(name);
  const entries = [folder(''), ...names.map((name) => (isFile(name) ? file(name) : folder(name, { mode: 0o711 })))];
  const lost = 'd/e';
  HandMade.withBase(temporary.at('repository'), { entries, leafSize: 1, lostLeaf: lost });
  const ended = restoreInto(temporary);
  assert.equal(ended.status, 5);
  const lines = ended.err.split('\n');
  assert.ok(
    lines.some((line) => line.startsWith('damaged: uploads: up to 1 entries, from d/e to before d/e/f: the chunk ')),
  );
  assert.ok(lines.includes('made without its attributes, which are lost: uploads: d/e'));
  assert.deepEqual(tree(temporary.at('out', 'uploads')), names);
});

test('without its root node a base is lost, and the other stores are restored', async () => {
  await using temporary = temporaryFolder();
  const made = new HandMade(temporary.at('repository'));
  const session = made.session(made.writer());
  const entries = [folder('')];
  const broken = session.base({ store: 'broken', entries, leafSize: 1, lostLeaf: '' });
  const whole = session.base({ store: 'whole', entries: [folder(''), file('a')] });
  session.mark([broken, whole]);
  const ended = restoreInto(temporary);
  assert.equal(ended.status, 5);
  assert.match(ended.err, /damaged: broken: up to 1 entries, all: the chunk/);
  assert.deepEqual(tree(temporary.at('out')), ['broken', 'restore-notes.txt', 'whole', 'whole/a']);
  assert.equal(runKit(['ls', temporary.at('repository'), 'latest', 'broken']).status, 5);
});

/** What a writer that lies, or one whose keys were stolen, may say; `left` is what is there after the restore. */
const lies: Readonly<
  Record<string, { readonly entries: readonly Entry[]; readonly message: RegExp; readonly left: readonly string[] }>
> = {
  'a parent folder': { entries: [folder(''), file('..')], message: /the name \.\. is not allowed/, left: [] },
  'a way up': { entries: [folder(''), file('a'), file('b/../../x')], message: /is not allowed/, left: ['a'] },
  'an absolute name': {
    entries: [folder(''), file(Buffer.from('/etc/x'))],
    message: /name \/etc\/x is not allowed/,
    left: [],
  },
  'a slash in a component': { entries: [folder(''), file(Buffer.from('d/x'))], message: /is not allowed/, left: [] },
  'the folder itself': { entries: [folder(''), folder('.')], message: /the name \. is not allowed/, left: [] },
  'an empty component': { entries: [folder(''), folder('d'), file('d//x')], message: /is not allowed/, left: ['d'] },
  'a zero byte at the end': { entries: [folder(''), folder('d'), file('d/')], message: /is not allowed/, left: ['d'] },
  'a file below a link': {
    entries: [folder(''), link('l', '..'), file('l/x')],
    message: /l holds entries but is no folder/,
    left: ['l'],
  },
  'a file below a file': {
    entries: [folder(''), file('f'), file('f/x')],
    message: /f holds entries but is no folder/,
    left: ['f'],
  },
  'a file without its folder': {
    entries: [folder(''), file('d/x')],
    message: /d holds entries but is no folder/,
    left: [],
  },
  'no root': { entries: [file('a')], message: /\. holds entries but is no folder/, left: [] },
  'a file as root': { entries: [file('')], message: /the root of the base is not a folder/, left: [] },
  'names in disorder': { entries: [folder(''), file('b'), file('a')], message: /out of order/, left: [] },
  'a name twice': { entries: [folder(''), link('a', '/etc'), file('a')], message: /out of order/, left: [] },
};

test('a base that lies about its names is refused, and writes nothing outside of its folder', async () => {
  for (const [lie, { entries, message, left }] of Object.entries(lies)) {
    for (const leafSize of [1, 100]) {
      await using temporary = temporaryFolder();
      HandMade.withBase(temporary.at('repository'), { entries, leafSize });
      const ended = restoreInto(temporary);
      assert.equal(ended.status, 5, lie);
      assert.match(ended.err, message, lie);
      const restored = tree(temporary.at('out', 'uploads'));
      if (leafSize === 100 || !message.source.includes('order')) assert.deepEqual(restored, left, lie);
      assert.deepEqual(readdirSync(temporary.path).sort(), ['out', 'repository'], lie);
      assert.deepEqual(readdirSync(temporary.at('out')).sort(), ['restore-notes.txt', 'uploads'], lie);
      const verified = runKit(['verify', temporary.at('repository')]);
      if (/allowed|order/.test(message.source)) assert.equal(verified.status, 5, lie);
    }
  }
});

test('attributes that can’t be are damage of their entry only', async () => {
  const right = { type: 'file', size: 1, mode: 0o644 } as const;
  const cases: Readonly<Record<string, Buffer>> = {
    'an unknown version': joined(Buffer.from([2]), attributes(right).subarray(1)),
    'an unknown type': joined(Buffer.from([1, 3]), attributes(right).subarray(2)),
    'a mode with more bits': attributes({ ...right, mode: 0o10000 }),
    'an owner that is none': attributes({ ...right, uid: 0xffffffff }),
    'too many nanoseconds': attributes({ ...right, nanoseconds: 1_000_000_000 }),
    'another size than the content': attributes({ ...right, size: 2 }),
    'runs beyond the size': attributes({ ...right, size: 3, runs: [[3, 1]] }),
    'runs that are more than the content': attributes({ ...right, size: 9, runs: [[0, 2]] }),
    'an empty run': attributes({
      ...right,
      size: 9,
      runs: [
        [0, 0],
        [0, 1],
      ],
    }),
    'a folder with content': attributes({ type: 'folder' }),
    'a link without a target': attributes({ type: 'link' }),
    'a target of a file': attributes({ ...right, target: 'x' }),
    'a target with a zero byte': attributes({ type: 'link', target: '\0' }),
    'extended attributes in disorder': attributes({
      ...right,
      xattrs: [
        ['b', ''],
        ['a', ''],
      ],
    }),
    'an unknown field': joined(attributes(right), Buffer.from([5, 0])),
    'fields in disorder': joined(attributes({ ...right, runs: [[0, 1]] }), Buffer.from([3, 2, 1, 0x61])),
    'a field that ends too early': joined(attributes(right), Buffer.from([128, 9])),
    'a number that is too long': Buffer.from([1, 0, 0x80, 0]),
    nothing: Buffer.alloc(0),
  };
  await using temporary = temporaryFolder();
  const bad = Object.values(cases).map((bytes, index): Entry => {
    return { name: `b${String(index).padStart(2, '0')}`, attributes: bytes, chunks: [Buffer.from('x')] };
  });
  const passedOver = {
    name: 'c',
    attributes: joined(attributes(right), Buffer.from([200, 1, 7])),
    chunks: [Buffer.from('x')],
  };
  HandMade.withBase(temporary.at('repository'), { entries: [folder(''), file('a'), ...bad, passedOver] });
  const ended = restoreInto(temporary);
  assert.equal(ended.status, 5);
  for (const [index, name] of Object.keys(cases).entries()) {
    assert.match(ended.err, new RegExp(`damaged: uploads: b${String(index).padStart(2, '0')}: `), name);
  }
  assert.deepEqual(tree(temporary.at('out', 'uploads')), ['a', 'c']);
});

test('a hostile size fails for its file only', async () => {
  await using temporary = temporaryFolder();
  const huge = file('b', { data: [], size: Number.MAX_SAFE_INTEGER, runs: [] });
  HandMade.withBase(temporary.at('repository'), { entries: [folder(''), file('a'), huge, file('c')] });
  const ended = restoreInto(temporary);
  assert.equal(ended.status, 3);
  assert.match(ended.err, /not written: uploads: b: EFBIG \(ftruncate\)/);
  assert.deepEqual(tree(temporary.at('out', 'uploads')), ['a', 'c']);
});

test('a folder that can’t be made takes what is in it along, and is listed', async () => {
  await using temporary = temporaryFolder();
  const long = 'x'.repeat(300);
  const entries = [
    folder(''),
    folder('d'),
    folder(`d/${long}`),
    folder(`d/${long}/e`),
    file(`d/${long}/e/f`),
    file('d/z'),
  ];
  HandMade.withBase(temporary.at('repository'), { entries });
  const ended = restoreInto(temporary);
  assert.equal(ended.status, 3);
  assert.equal(ended.err.split('not written: ').length, 4);
  assert.match(ended.err, /ENAMETOOLONG/);
  assert.deepEqual(tree(temporary.at('out', 'uploads')), ['d', 'd/z']);
});

test('links in the folder to restore into are not followed', async () => {
  await using temporary = temporaryFolder();
  HandMade.withBase(temporary.at('repository'), { entries: [folder(''), file('a')] });
  mkdirSync(temporary.at('out'));
  mkdirSync(temporary.at('elsewhere'));
  symlinkSync('../elsewhere', temporary.at('out', 'uploads'));
  assert.equal(restoreInto(temporary).status, 2);
  rmSync(temporary.at('out', 'uploads'));
  symlinkSync('../elsewhere/notes', temporary.at('out', 'restore-notes.txt'));
  assert.equal(restoreInto(temporary).status, 1);
  assert.deepEqual(readdirSync(temporary.at('elsewhere')), []);
  assert.ok(!existsSync(temporary.at('out', 'uploads')));
});

type Trust = { readonly made: HandMade; readonly session: HandMadeSession; readonly repository: string };

test('what nobody with the right to it signed does not count', async (t) => {
  const check = async (name: string, message: RegExp, act: (trust: Trust) => void, status = 5): Promise<void> => {
    await t.test(name, async () => {
      await using temporary = temporaryFolder();
      const repository = temporary.at('repository');
      const { made, session } = HandMade.withBase(repository, { entries: [folder(''), file('a')] });
      act({ made, session, repository });
      const ended = runKit(['list', repository]);
      assert.equal(ended.status, status, ended.err);
      assert.match(ended.err, message);
      if (!ended.err.startsWith('tidemark-kit:')) assert.match(ended.out, /latest is mark-1/);
    });
  };
  await check('a header with another signature', /tidemark\.json was changed/, ({ made }) => {
    const header = JSON.parse(made.header().toString()) as Record<string, unknown>;
    made.write('tidemark.json', Buffer.from(JSON.stringify({ ...header, leaseMs: 1 })));
  });
  await check(
    'a header of another root',
    /not of the repository that this passphrase opens/,
    ({ made, repository }) => {
      const other = new HandMade(join(repository, 'other'), 'other');
      made.write('tidemark.json', other.header({ id: made.id }));
      rmSync(other.path, { recursive: true });
    },
  );
  await check('a header that is no JSON', /tidemark\.json: the header is not JSON/, ({ made }) => {
    made.write('tidemark.json', Buffer.from('{'));
  });
  await check('a certificate by another root', /the root key did not sign this certificate/, ({ made }) => {
    const writer = { ...made.writer(), id: 'ab'.repeat(16) };
    made.write(`credentials/${writer.id}`, made.certificate(writer, ['*'], made.contentSeed));
  });
  await check('a certificate in the place of another', /did not sign this certificate for this place/, ({ made }) => {
    made.write(`credentials/${'cd'.repeat(16)}`, made.certificate(made.writer(), ['*']));
  });
  await check(
    'a damaged key slot beside a good one',
    /damaged: keys\/[0-9a-f]+: the key slot is not JSON/,
    ({ made }) => {
      made.write(`keys/${'00'.repeat(16)}`, Buffer.from('x'));
    },
  );
  await check('a key slot that costs too much', /its key derivation is not allowed/, ({ made, repository }) => {
    const [name = ''] = readdirSync(join(repository, 'keys'));
    const id = '11'.repeat(16);
    const slot = readFileSync(join(repository, 'keys', name), 'utf8')
      .replace(name, id)
      .replace('"memoryKiB":8', '"memoryKiB":4194304');
    made.write(`keys/${id}`, Buffer.from(slot));
  });
  await check('a record of no certified credential', /has no certificate/, ({ made }) => {
    const stranger = {
      id: 'ef'.repeat(16),
      role: 'writer',
      signingSeed: made.random(32),
      idKey: made.random(32),
    } as const;
    made.session(stranger);
  });
  await check('a record signed by another', /the signature of the record is wrong/, ({ made, session }) => {
    const thief = { ...session.writer, signingSeed: made.writer().signingSeed };
    session.put('end', [], {}, thief);
  });
  await check('a record under another key', /the record belongs elsewhere/, ({ made, session, repository }) => {
    const key = readdirSync(join(repository, 'journal'))[0] ?? '';
    made.write(`journal/${session.id}-00000009`, readFileSync(join(repository, 'journal', key)));
  });
  await check('a pin by a writer', /a writer may not write this/, ({ session }) => {
    session.put('pin', [{ name: 'maintenance', value: { mark: 'mark-1', atMs: 1 } }]);
  });
  await check('a ledger by a writer', /a writer may not write this/, ({ session }) => {
    session.put('ledger', [
      { name: 'plain', value: { includes: [], forgotten: ['mark-1'], removed: {}, heads: [], atMs: 1 } },
    ]);
  });
  await check('a mark of another repository', /the record belongs elsewhere/, ({ session }) => {
    session.put('journal', [{ name: 'maintenance', value: { marks: [] } }], { repository: '22'.repeat(16) });
  });
  await check('a void by another writer', /it is not by the writer of its session/, ({ made, session, repository }) => {
    const [manifest = ''] = readdirSync(join(repository, 'manifests'));
    session.put('void', [{ name: 'plain', value: { record: `manifests/${manifest}` } }], {}, made.writer());
  });
  await check('a base of a store that its writer may not write', /may not write the store orders/, ({ made }) => {
    const session = made.session(made.writer(['uploads']));
    session.mark([session.base({ store: 'orders', entries: [folder('')] })], { id: 'mark-2' });
  });
  await check(
    'a mark over a store that its writer may not write',
    /may not write the store orders/,
    ({ made, session }) => {
      const base = session.base({ store: 'orders', entries: [folder('')] });
      made.session(made.writer(['uploads'])).mark([base], { id: 'mark-2' });
    },
  );
  await check('a mark at another position than its base', /is not at its position/, ({ session }) => {
    const base = session.base({ entries: [folder('')] });
    session.mark([{ ...base, position: { lineage: 'l1', order: '9', resume: 'r' } }], { id: 'mark-2' });
  });
  const journal = (session: HandMadeSession, value: { readonly [key: string]: Json }): void => {
    session.put('journal', [{ name: 'maintenance', value: { marks: [], ...value } }]);
  };
  await check('a mark without what can’t be a store', /field "missing" is missing or wrong/, ({ session }) => {
    session.mark([], { id: 'mark-2', missing: ['a\nb'] });
  });
  await check('a mark of what can’t be a store', /field "positions" is missing or wrong/, ({ session }) => {
    session.mark([{ ...session.base({ entries: [folder('')] }), history: '../up' }], { id: 'mark-2' });
  });
  await check('a mark whose id could clear a terminal', /field "id" is missing or wrong/, ({ session }) => {
    session.mark([], { id: '\u001b[2J' });
  });
  for (const order of ['\u0661', '', 'x', '1x', '0x1', '-1', '18446744073709551616']) {
    await check('a mark at an order that is no number', /field "order" is missing or wrong/, ({ session }) => {
      const base = session.base({ entries: [folder('')] });
      session.mark([{ ...base, position: { lineage: 'l1', order, resume: 'r' } }], { id: 'mark-2' });
    });
  }
  await check('a position that is too large', /field "resume" is missing or wrong/, ({ session }) => {
    const base = session.base({ entries: [folder('')] });
    session.mark([{ ...base, position: { lineage: 'l1', order: '9', resume: 'r'.repeat(65_537) } }], { id: 'mark-2' });
  });
  await check('a gap of what can’t be a store', /field "store" is missing or wrong/, ({ session }) => {
    journal(session, { gaps: [{ store: 'a b' }] });
  });
  await check('a segment with half a pack', /field "packs" is missing or wrong/, ({ session }) => {
    const end = { lineage: 'l1', order: '9', resume: 'r' };
    const packs = Buffer.alloc(48).toString('base64');
    const segment = { store: 'uploads', history: 'uploads', after: end, upTo: end, storedBytes: 0, packs };
    journal(session, { segments: [segment] });
  });
  await check('a section with a byte after its frame', /"maintenance" has bytes too many/, ({ session }) => {
    const value = { marks: [] };
    session.put('journal', [{ name: 'maintenance', value, packed: true, trailing: Buffer.alloc(1) }]);
  });
  await check('a section of two frames', /"maintenance" has bytes too many/, ({ session }) => {
    const trailing = zstdCompressSync(Buffer.from(' '));
    session.put('journal', [{ name: 'maintenance', value: { marks: [] }, packed: true, trailing }]);
  });
  await check('a mark whose base is gone', /the base of uploads is missing/, ({ session }) => {
    const base = session.base({ entries: [folder('')] });
    session.mark([{ ...base, key: `manifests/${session.id}-000000ff` }], { id: 'mark-2' });
  });
});

test('a chunk of another writer does not count, be it as good as it may', async () => {
  await using temporary = temporaryFolder();
  const made = new HandMade(temporary.at('repository'));
  const [writer, other] = [made.writer(), made.writer()];
  const session = made.session(writer);
  const base = session.base({ entries: [folder(''), file('a')], scattered: true });
  session.mark([base]);
  const plain = Buffer.from('content of a');
  rmSync(packPath(made.path, writer.id, base.packs, 0));
  const id = chunkId(writer.idKey, 'content', plain);
  const planted = made.pack(other, [{ chunks: [{ kind: 'content', plain, id }] }]);
  assert.equal(restoreInto(temporary).status, 5);
  assert.ok(!existsSync(temporary.at('out', 'uploads', 'a')));
  renameSync(join(made.path, 'packs', other.id, planted), join(made.path, 'packs', writer.id, planted));
  rmSync(temporary.at('out'), { recursive: true });
  assert.equal(restoreInto(temporary).status, 5);
  assert.ok(!existsSync(temporary.at('out', 'uploads', 'a')));
});

test('holes and breaks of the chains are reported, and what a ledger removed is not', async () => {
  await using temporary = temporaryFolder();
  const repository = temporary.at('repository');
  const { made, session } = HandMade.withBase(repository, { entries: [folder('')] });
  const list = (): string => runKit(['list', repository]).err;
  const maintainer = made.writer(['*'], 'maintainer');
  const run = session.put('run', [{ name: 'maintenance', value: {} }]);
  session.put('end', []);
  assert.equal(list(), '');
  rmSync(join(repository, run));
  assert.match(list(), /^damaged: session [0-9a-f]{32}: its records 3 to 3 are missing\n$/);
  const sweep = made.session(maintainer, [session.head]);
  sweep.put('ledger', [
    {
      name: 'plain',
      value: { includes: [], forgotten: [], removed: { [session.id]: [[3, 3]] }, heads: [], atMs: 1 },
    },
  ]);
  assert.equal(list(), '');
  rmSync(join(repository, 'sessions', session.id, 'end'));
  assert.match(list(), /^damaged: session [0-9a-f]{32}: its records 4 to 4 are missing\n$/);
  session.counter = 4;
  session.put('end', [], { previous: '55'.repeat(32) });
  assert.match(list(), /its record 4 is not the one that a later session saw\n$/);
});

test('a session that goes on after its end, twice or under a broken link is reported', async () => {
  await using temporary = temporaryFolder();
  const { session } = HandMade.withBase(temporary.path, { entries: [folder('')] });
  const value = {};
  session.put('run', [{ name: 'maintenance', value }], { previous: '66'.repeat(32) });
  session.put('end', []);
  session.put('run', [{ name: 'maintenance', value }]);
  session.counter -= 1;
  session.put('journal', [{ name: 'maintenance', value: { marks: [] } }]);
  const { err } = runKit(['list', temporary.path]);
  assert.match(err, /runs\/[0-9a-f]+-00000003 does not follow the record before it/);
  assert.match(err, /-00000005 comes after the end of its session/);
  assert.match(err, /its session has another record of this number/);
});

test('records that a ledger removed do not count while they are still there', async () => {
  await using temporary = temporaryFolder();
  const { made, session } = HandMade.withBase(temporary.path, { entries: [folder('')] });
  const sweep = made.session(made.writer(['*'], 'maintainer'), [session.head]);
  const removed = { [session.id]: [[2, 2]] };
  sweep.put('ledger', [{ name: 'plain', value: { includes: [], forgotten: [], removed, heads: [], atMs: 1 } }]);
  const ended = runKit(['list', temporary.path]);
  assert.deepEqual([ended.status, ended.err], [0, '']);
  assert.match(ended.out, /there is no complete mark/);
});

test('latest is the newest mark of which nothing is missing', async () => {
  await using temporary = temporaryFolder();
  const repository = temporary.at('repository');
  const { session } = HandMade.withBase(repository, { entries: [folder('')] });
  const base = session.base({ entries: [folder(''), file('new')] });
  session.mark([base], { id: 'newer' });
  assert.match(runKit(['list', repository]).out, /latest is newer/);
  rmSync(join(repository, base.key));
  const ended = runKit(['list', repository]);
  assert.match(ended.out, /latest is mark-1/);
  assert.match(ended.out, /newer .* partial/);
  assert.equal(ended.status, 5);
});

test('latest is the mark that stands furthest, also where a clock was ahead when an earlier one was taken', async () => {
  await using temporary = temporaryFolder();
  const { session } = HandMade.withBase(temporary.path, { entries: [folder('')] });
  session.mark([session.base({ entries: [folder('')] })], { id: 'ahead', atMs: 1_900_000_000_000 });
  session.mark([session.base({ entries: [folder('')] })], { id: 'after' });
  assert.match(runKit(['list', temporary.path]).out, /latest is after/);
});

test('a mark over a base that its writer took back, or that a sweep took, never was one', async () => {
  await using temporary = temporaryFolder();
  const { made, session } = HandMade.withBase(temporary.path, { entries: [folder('')] });
  const [first, second] = [session.base({ entries: [folder('')] }), session.base({ entries: [folder('')] })];
  session.mark([first], { id: 'voided' });
  session.mark([second], { id: 'swept' });
  session.put('void', [{ name: 'plain', value: { record: first.key } }]);
  const sweep = made.session(made.writer(['*'], 'maintainer'));
  const removed = { [session.id]: [[4, 4]] };
  sweep.put('ledger', [{ name: 'plain', value: { includes: [], forgotten: [], removed, heads: [], atMs: 1 } }]);
  rmSync(join(temporary.path, second.key));
  const ended = runKit(['list', temporary.path]);
  assert.deepEqual([ended.status, ended.err], [0, '']);
  assert.doesNotMatch(ended.out, /voided|swept/);
});

test('a mark that was put again with less, because nobody knew whether it had been put, is one mark', async () => {
  await using temporary = temporaryFolder();
  const { made, writer, base, session } = HandMade.withBase(temporary.path, { entries: [folder('')] });
  session.mark([base], { id: 'twice' });
  const next = made.session(writer);
  next.mark([base], { id: 'twice', missing: ['another'] });
  next.mark([base], { id: 'after' });
  const { out } = runKit(['list', temporary.path]);
  assert.deepEqual(out.match(/twice/g)?.length, 1);
  assert.match(out, /twice .* partial/);
});

test('what a removed start named stays named by the ledger', async () => {
  await using temporary = temporaryFolder();
  const { made, session } = HandMade.withBase(temporary.path, { entries: [folder('')] });
  const sweep = made.session(made.writer(['*'], 'maintainer'));
  const value = { includes: [], forgotten: [], removed: {}, heads: [session.head], atMs: 1 };
  sweep.put('ledger', [{ name: 'plain', value }]);
  const fingerprint = sha256(`${sweep.id} 1 ${sweep.previous}\n`).toString('hex', 0, 16);
  const ended = runKit(['list', temporary.path]);
  assert.deepEqual([ended.status, ended.err], [0, '']);
  assert.ok(ended.out.includes(`fingerprint ${fingerprint} of 1 heads`));
});
