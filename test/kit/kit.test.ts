import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { createSeededRandom } from '../../src/flow/random.ts';
import { temporaryFolder } from '../../src/testing/tree/temporary-folder.ts';
import { attributes, sha256 } from './format.ts';
import { file, folder, HandMade, link, PASSPHRASE } from './hand-made.ts';
import { KIT, runKit } from './run-kit.ts';

const isRoot = process.geteuid?.() === 0;
const NOBODY = 65_534;

test('restores contents, modes, links, hard links, holes and times', async () => {
  await using temporary = temporaryFolder();
  const repository = temporary.at('repository');
  const linked = { data: ['twice'], inode: 7n, seconds: 3n };
  HandMade.withBase(repository, {
    entries: [
      folder('', { mode: 0o750, seconds: 1_700_000_000n, nanoseconds: 123_456_000 }),
      file('a', { data: ['one', '', 'two'], mode: 0o4711, seconds: -2n, nanoseconds: 999_999_000 }),
      folder('d', { mode: 0o500 }),
      file('d/first', linked),
      link('d/link', '../a'),
      folder('d/sub', { mode: 0o2770 }),
      file('e', {
        data: ['headtail'],
        size: 1 << 20,
        runs: [
          [4096, 4],
          [500_000, 4],
        ],
      }),
      file('f', { data: [], size: 1 << 16, runs: [] }),
      { name: 'g', attributes: attributes({ type: 'file' }) },
      file('second', linked),
    ],
  });
  const ended = runKit(['restore', repository, 'latest', temporary.at('out')]);
  assert.deepEqual([ended.status, ended.out], [0, ''], ended.err);
  const at = (name: string): string => temporary.at('out', 'uploads', name);
  assert.deepEqual(readdirSync(at('.')).sort(), ['a', 'd', 'e', 'f', 'g', 'second']);
  assert.equal(readFileSync(at('a'), 'utf8'), 'onetwo');
  assert.equal(lstatSync(at('a'), { bigint: true }).mtimeNs, -1_000_001_000n);
  const modes = ['.', 'a', 'd', 'd/sub'].map((name) => (statSync(at(name)).mode & 0o7777).toString(8));
  if (isRoot) assert.deepEqual(modes, ['750', '4711', '500', '2770']);
  assert.equal(readlinkSync(at('d/link')), '../a');
  assert.equal(statSync(at('d/first')).ino, statSync(at('second')).ino);
  const sparse = readFileSync(at('e'));
  assert.equal(sparse.length, 1 << 20);
  assert.deepEqual([sparse.indexOf('head'), sparse.indexOf('tail')], [4096, 500_000]);
  assert.equal(sparse.filter((byte) => byte !== 0).length, 8);
  assert.ok(statSync(at('e')).blocks <= 16);
  assert.deepEqual([statSync(at('f')).size, statSync(at('f')).blocks], [1 << 16, 0]);
  assert.equal(statSync(at('g')).size, 0);
  assert.equal(Math.floor(statSync(at('.')).mtimeMs), 1_700_000_000_123);
});

test('reads deep trees, lists of chunks and compressed blocks', async () => {
  await using temporary = temporaryFolder();
  const repository = temporary.at('repository');
  const data = Array.from({ length: 7 }, (_, index) => Buffer.alloc(100, index));
  const many = Array.from({ length: 40 }, (_, index) => file(`m${String(index).padStart(2, '0')}`));
  HandMade.withBase(repository, {
    entries: [folder(''), { ...file('l', { data }), inLists: true }, ...many],
    leafSize: 2,
    compressed: true,
    scattered: true,
  });
  assert.equal(runKit(['restore', repository, 'latest', temporary.at('out')]).status, 0);
  assert.deepEqual(readFileSync(temporary.at('out', 'uploads', 'l')), Buffer.concat(data));
  for (const { name } of many) {
    assert.equal(readFileSync(temporary.at('out', 'uploads', String(name)), 'utf8'), `content of ${String(name)}`);
  }
  const verified = runKit(['verify', repository]);
  assert.equal(verified.status, 0, verified.err);
  assert.match(verified.out, /everything is whole/);
});

test('names that are not UTF-8 come back, and can be typed as they are shown', async () => {
  await using temporary = temporaryFolder();
  const repository = temporary.at('repository');
  const names = ['caf\xe9', '\x1b[31m', 'ünï', 'back\\slash', '\xff\xfe', '\u0085'].map((name) =>
    Buffer.from(name, 'latin1'),
  );
  names.sort(Buffer.compare);
  HandMade.withBase(repository, { entries: [folder(''), ...names.map((name) => file(name))] });
  assert.equal(runKit(['restore', repository, 'latest', temporary.at('out')]).status, 0);
  const restored = readdirSync(temporary.at('out', 'uploads'), { encoding: 'buffer' }).sort(Buffer.compare);
  assert.deepEqual(restored, names);
  const listed = runKit(['ls', repository, 'latest', 'uploads']).out.trimEnd().split('\n');
  assert.equal(listed.length, names.length);
  for (const [index, line] of listed.entries()) {
    const shown = line.split('Z ')[1] ?? '';
    assert.match(shown, /^[\w\\[ïü-]+$/);
    const { status } = runKit(['restore', repository, 'latest', temporary.at(`only-${index}`), '--only', shown]);
    assert.equal(status, 0, shown);
    assert.deepEqual(readdirSync(temporary.at(`only-${index}`, 'uploads'), { encoding: 'buffer' }), [names[index]]);
  }
});

test('restores a part of a store with the folders above it, and nothing else', async () => {
  await using temporary = temporaryFolder();
  const repository = temporary.at('repository');
  const names = ['a', 'b', 'b/c', 'b/c/x', 'b/c/y', 'b/c.txt', 'b/d', 'c'];
  const isFile = (name: string): boolean => /[xyd]|^a|txt$/.test(name);
  HandMade.withBase(repository, {
    entries: [folder(''), ...names.map((name) => (isFile(name) ? file(name) : folder(name, { mode: 0o711 })))],
    leafSize: 1,
  });
  const walk = (path: string): readonly string[] => readdirSync(path, { recursive: true }).map(String).sort();
  const restored = runKit(['restore', repository, 'latest', temporary.at('out'), 'uploads', '--only', '/b/c/']);
  assert.equal(restored.status, 0, restored.err);
  assert.deepEqual(walk(temporary.at('out', 'uploads')), ['b', 'b/c', 'b/c/x', 'b/c/y']);
  assert.equal(statSync(temporary.at('out', 'uploads', 'b')).mode & 0o777, 0o711);
  const absent = runKit(['restore', repository, 'latest', temporary.at('absent'), '--only', 'b/e']);
  assert.equal(absent.status, 4);
  assert.match(absent.err, /nothing of the name b\/e/);
  const listed = (path: string): readonly string[] =>
    runKit(['ls', repository, 'latest', 'uploads', path])
      .out.trimEnd()
      .split('\n')
      .map((line) => line.split('Z ')[1] ?? '');
  assert.deepEqual(listed(''), ['a', 'b', 'c']);
  assert.deepEqual(listed('b'), ['c', 'c.txt', 'd']);
  assert.deepEqual(listed('b/d'), ['d']);
  assert.equal(runKit(['ls', repository, 'latest', 'uploads', 'nowhere']).status, 4);
});

test('times come back in the same microsecond, also before 1970', async () => {
  await using temporary = temporaryFolder();
  const repository = temporary.at('repository');
  const random = createSeededRandom('times');
  const times = Array.from({ length: 200 }, (_, index) => ({
    name: `t${String(index).padStart(3, '0')}`,
    seconds: BigInt(random.integer(4_000_000_000)) - 1_000_000_000n,
    nanoseconds: random.pick([0, 1, 999, 1000, 999_999_999, 999_999_000, random.integer(1_000_000_000)]),
  }));
  const entries = times.map(({ name, ...time }) => file(name, { data: [], ...time }));
  HandMade.withBase(repository, { entries: [folder(''), ...entries] });
  const ended = runKit(['restore', repository, 'latest', temporary.at('out')]);
  assert.equal(ended.status, 0);
  assert.doesNotMatch(ended.err, /not set: time:/);
  for (const { name, seconds, nanoseconds } of times) {
    const { mtimeNs } = lstatSync(temporary.at('out', 'uploads', name), { bigint: true });
    const wanted = seconds * 1_000_000_000n + BigInt(nanoseconds);
    assert.equal((mtimeNs + 2n ** 60n * 1000n) / 1000n, (wanted + 2n ** 60n * 1000n) / 1000n, `${wanted}`);
  }
});

test('lists what it could not set, and hands extended attributes to setfattr', async (t) => {
  await using temporary = temporaryFolder();
  const repository = temporary.at('repository');
  const xattrs = [
    ['user.a', 'value'],
    ['user.b=c', Buffer.from([0, 255])],
  ] as const;
  HandMade.withBase(repository, {
    entries: [folder(''), file('back\\slash\nline', { xattrs, nanoseconds: 123_456_789, uid: 12, gid: 13 })],
    skipped: [
      { name: Buffer.from('a\0socket').toString('base64'), reason: 'special', incomplete: false, message: 'm' },
    ],
  });
  const ended = runKit(['restore', repository, 'latest', temporary.at('out')]);
  assert.equal(ended.status, 0, ended.err);
  assert.match(ended.err, /never was in the backup: uploads: a\/socket: special/);
  assert.match(ended.err, /not set: extended attribute: 2\n/);
  const notes = readFileSync(temporary.at('out', 'restore-notes.txt'), 'utf8');
  assert.match(notes, /not set: extended attribute: uploads\/back\\x5cslash\\x0aline user\.b=c\n/);
  const dump = readFileSync(temporary.at('out', 'uploads.setfattr'), 'utf8');
  assert.equal(dump, '# file: back\\134slash\\012line\nuser.a=0sdmFsdWU=\nuser.b\\075c=0sAP8=\n\n');
  const options = { cwd: temporary.at('out', 'uploads'), encoding: 'utf8' } as const;
  const set = spawnSync('setfattr', ['-h', '--restore=../uploads.setfattr'], options);
  if (set.error !== undefined) return t.skip('setfattr is not installed');
  assert.equal(set.status, 0, set.stderr);
  const got = spawnSync('getfattr', ['-d', '-e', 'base64', 'back\\slash\nline'], options);
  assert.match(got.stdout, /user\.a=0sdmFsdWU=\nuser\.b\\075c=0sAP8=\n/);
});

test('who may not give files away gets them as own, without the rights of the owner, and is told', async (t) => {
  if (!isRoot) return t.skip('only root can become another user');
  await using temporary = temporaryFolder();
  const repository = temporary.at('repository');
  HandMade.withBase(repository, {
    entries: [
      folder(''),
      file('foreign', { mode: 0o6755, uid: 1, gid: 1 }),
      file('own', { mode: 0o4755, uid: NOBODY, gid: NOBODY }),
    ],
  });
  chmodSync(temporary.path, 0o777);
  const kit = temporary.at('kit.mjs');
  copyFileSync(KIT, kit);
  const { status, stderr } = spawnSync(process.execPath, [kit, 'restore', repository, 'latest', temporary.at('out')], {
    env: { TIDEMARK_PASSPHRASE: PASSPHRASE },
    encoding: 'utf8',
    uid: NOBODY,
    gid: NOBODY,
  });
  if (stderr.includes('EACCES')) return t.skip('another user can’t start this Node');
  assert.equal(status, 0, stderr);
  assert.match(stderr, /not set: owner: 2\n/);
  assert.match(stderr, /not set: mode: 1\n/);
  const stat = (name: string): readonly number[] => {
    const { mode, uid } = statSync(temporary.at('out', 'uploads', name));
    return [mode & 0o7777, uid];
  };
  assert.deepEqual(stat('foreign'), [0o755, NOBODY]);
  assert.deepEqual(stat('own'), [0o4755, NOBODY]);
});

test('lists marks, oldest first, with what is in them, and the fingerprint of the heads', async () => {
  await using temporary = temporaryFolder();
  const made = new HandMade(temporary.at('repository'));
  const [writer, maintainer] = [made.writer(), made.writer(['*'], 'maintainer')];
  const first = made.session(writer);
  const base = first.base({ entries: [folder(''), file('a')] });
  first.mark([base], { id: 'forgotten', atMs: 1 });
  first.mark([base], { id: 'early', name: 'before \x1b upgrade', tags: ['x'], atMs: 5 });
  first.mark([base], { id: 'part', missing: ['orders'], atMs: 7000 });
  first.put('end', []);
  const second = made.session(maintainer, [first.head]);
  second.put('pin', [{ name: 'maintenance', value: { mark: 'early', atMs: 1 } }]);
  second.put('ledger', [
    {
      name: 'plain',
      value: { includes: [], forgotten: ['forgotten', 'early'], removed: {}, heads: [], atMs: 1 },
    },
  ]);
  const ended = runKit(['list', temporary.at('repository')]);
  assert.equal(ended.status, 0, ended.err);
  const fingerprint = sha256(`${second.id} 2 ${second.previous}\n`).toString('hex', 0, 16);
  assert.match(ended.out, new RegExp(`fingerprint ${fingerprint} of 1 heads`));
  assert.match(
    ended.out,
    /early {2}1970-01-01T00:00:00\.005Z {2}complete, clock within 5 ms {2}"before \\x1b upgrade" {2}#x {2}pinned\n {2}uploads +2 entries +12 bytes/,
  );
  assert.match(ended.out, /part {2}1970-01-01T00:00:07\.000Z {2}partial/);
  assert.match(ended.out, /orders +is not in this mark/);
  assert.match(ended.out, /latest is early/);
  assert.match(ended.out, /not shown: 1 marks/);
  assert.ok(ended.out.indexOf('early') < ended.out.indexOf('part '));
  assert.equal(runKit(['restore', temporary.at('repository'), 'forgotten', temporary.at('out')]).status, 0);
});

test('a partial mark restores what it has and says so with status 3', async () => {
  await using temporary = temporaryFolder();
  const { session, base } = HandMade.withBase(temporary.at('repository'), { entries: [folder(''), file('a')] });
  session.mark([base], { id: 'part', missing: ['orders'] });
  const ended = runKit(['restore', temporary.at('repository'), 'part', temporary.at('out')]);
  assert.equal(ended.status, 3);
  assert.match(ended.err, /not written: orders/);
  assert.ok(existsSync(temporary.at('out', 'uploads', 'a')));
  assert.equal(runKit(['restore', temporary.at('repository'), 'part', temporary.at('one'), 'uploads']).status, 0);
});

test('latest of stores that are named is the newest mark that has them, also where it is partial for others', async () => {
  await using temporary = temporaryFolder();
  const repository = temporary.at('repository');
  const { session } = HandMade.withBase(repository, { entries: [folder(''), file('a')] });
  const newer = session.base({ entries: [folder(''), file('b')] });
  const orders = session.base({ store: 'orders', entries: [folder('')] });
  const lost = session.base({ entries: [folder(''), file('c')] });
  session.mark([newer], { id: 'part', missing: ['orders'], atMs: 1_900_000_000_000 });
  session.mark([lost, orders], { id: 'torn', atMs: 1_900_000_000_001 });
  rmSync(join(repository, lost.key));
  const listed = runKit(['ls', repository, 'latest', 'uploads']);
  assert.match(listed.out, / b$/m);
  assert.match(listed.err, /latest is part, which is partial: without orders/);
  const restored = runKit(['restore', repository, 'latest', temporary.at('one'), 'uploads']);
  assert.ok(existsSync(temporary.at('one', 'uploads', 'b')), restored.err);
  assert.match(runKit(['restore', repository, 'latest', temporary.at('all')]).err, /restoring the mark mark-1/);
  assert.match(runKit(['restore', repository, 'latest', temporary.at('two'), 'orders']).err, /restoring the mark torn/);
  assert.match(
    runKit(['restore', repository, 'latest', temporary.at('both'), 'orders', 'uploads']).err,
    /no store orders in the mark mark-1/,
  );
});

test('each mistake ends with one line and its own status', async () => {
  await using temporary = temporaryFolder();
  const repository = temporary.at('repository');
  const { made, session, base } = HandMade.withBase(repository, { entries: [folder(''), file('a')] });
  for (const id of ['twin-1', 'twin-2']) session.mark([base], { id, name: 'twin' });
  const other = session.base({ store: 'orders', connector: 'mysql', entries: [folder('')] });
  session.mark([other], { id: 'database' });
  mkdirSync(temporary.at('taken', 'uploads'), { recursive: true });
  mkdirSync(temporary.at('empty'));
  symlinkSync('repository', temporary.at('leads-into'));
  const { contentSeed: _, ...maintenance } = made.keyring();
  made.addSlot('maintainer', maintenance, 'maintainer');
  const cases: readonly (readonly [number, RegExp, readonly string[], { passphrase?: string; env?: {} }?])[] = [
    [2, /the commands are list, ls, restore, verify/, []],
    [2, /the commands are/, ['toString', repository]],
    [2, /Unknown option '--password'/, ['list', repository, '--password=x']],
    [2, /list takes other arguments/, ['list']],
    [2, /restore takes other arguments/, ['restore', repository, 'latest']],
    [2, /--only belongs to restore/, ['list', repository, '--only', 'a']],
    [2, /no passphrase: name its file/, ['list', repository], { env: {} }],
    [
      2,
      /TIDEMARK_PASSPHRASE_FILE names: ENOENT/,
      ['list', repository],
      { env: { TIDEMARK_PASSPHRASE_FILE: temporary.at('no-such-file') } },
    ],
    [2, /the passphrase is empty/, ['list', repository], { passphrase: '' }],
    [2, /uploads is there already/, ['restore', repository, 'mark-1', temporary.at('taken')]],
    [2, /is inside the repository/, ['restore', repository, 'mark-1', join(repository, 'packs')]],
    [2, /is inside the repository/, ['restore', repository, 'mark-1', temporary.at('leads-into')]],
    [1, /"mysql", this kit knows files/, ['restore', repository, 'database', temporary.at('db')]],
    [4, /there is no mark "tomorrow"/, ['restore', repository, 'tomorrow', temporary.at('no')]],
    [4, /"twin" fits 2 marks/, ['ls', repository, 'twin', 'uploads']],
    [4, /there is no store nothing/, ['restore', repository, 'mark-1', temporary.at('no'), 'nothing']],
    [6, /opens none of the 2 key slots/, ['list', repository], { passphrase: 'wrong' }],
    [6, /this passphrase may not read/, ['list', repository], { passphrase: 'maintainer' }],
    [7, /there is no Tidemark repository/, ['list', temporary.at('empty')]],
    [7, /can't open .*nowhere: ENOENT/, ['list', temporary.at('nowhere')]],
  ];
  for (const [status, message, args, options] of cases) {
    const ended = runKit(args, options);
    assert.match(ended.err, /^tidemark-kit: [^\n]+\n$/, args.join(' '));
    assert.match(ended.err, message, args.join(' '));
    assert.deepEqual([ended.status, ended.out], [status, ''], args.join(' '));
  }
  assert.ok(!existsSync(temporary.at('no')));
  for (const [version, kit] of [
    [2, 'a newer Tidemark'],
    [0, 'the Tidemark that made it'],
  ] as const) {
    made.write('tidemark.json', made.header({ version }));
    const other = runKit(['list', repository]);
    const message = `tidemark-kit: the repository has format ${version}: take the kit of ${kit}\n`;
    assert.deepEqual([other.status, other.err], [1, message]);
  }
});

test('the passphrase comes from a file without its line end, in any composition of its letters', async () => {
  await using temporary = temporaryFolder();
  const made = new HandMade(temporary.at('repository'));
  made.addSlot('pässphrase', made.keyring());
  writeFileSync(temporary.at('secret'), 'pa\u0308ssphrase\r\n', { mode: 0o600 });
  const env = { TIDEMARK_PASSPHRASE_FILE: temporary.at('secret'), TIDEMARK_PASSPHRASE: 'wrong' };
  const ended = runKit(['list', temporary.at('repository')], { env });
  assert.equal(ended.status, 0, ended.err);
  assert.match(ended.out, /there is no complete mark/);
});

test('asks for the passphrase on a terminal and does not show it', async (t) => {
  await using temporary = temporaryFolder();
  HandMade.withBase(temporary.path, { entries: [folder('')] });
  const command = `'${process.execPath}' '${KIT}' list '${temporary.path}'`;
  const { error, stdout } = spawnSync('script', ['-qec', command, '/dev/null'], {
    env: { PATH: process.env['PATH'] ?? '' },
    input: `${PASSPHRASE}\r`,
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (error !== undefined) return t.skip('script(1) is not installed');
  assert.match(stdout, /Passphrase: /);
  assert.match(stdout, /latest is mark-1/);
  assert.doesNotMatch(stdout.replace(/^[^\n]*\n/, ''), new RegExp(PASSPHRASE));
});

test('needs neither the index nor a folder of that name, and passes over what is foreign', async () => {
  await using temporary = temporaryFolder();
  const { made } = HandMade.withBase(temporary.path, { entries: [folder(''), file('a')] });
  made.write('index/README', Buffer.from('foreign'));
  made.write('keys/lost+found', Buffer.from('foreign'));
  made.write('.tmp/draft', Buffer.from('foreign'));
  made.write('manifests/draft', Buffer.from('foreign'));
  const ended = runKit(['verify', temporary.path]);
  assert.equal(ended.status, 0, ended.err);
});

test('a record that unpacks to very much is damaged, and what is larger than a record or none is not read', async () => {
  await using temporary = temporaryFolder();
  const { made, session } = HandMade.withBase(temporary.path, { entries: [folder(''), file('a')] });
  const bomb = zstdCompressSync(JSON.stringify({ marks: [], more: 'A'.repeat(40_000_000) }));
  const key = session.put('journal', [{ name: 'maintenance', value: {}, packed: bomb }]);
  for (const junk of [`journal/${'0'.repeat(32)}-00000000`, `runs/${'0'.repeat(32)}-00000000`]) {
    made.write(junk, new Uint8Array());
    truncateSync(join(temporary.path, junk), 17 * 1024 * 1024);
  }
  const ended = runKit(['verify', temporary.path]);
  assert.equal(ended.status, 5, ended.err);
  const damage = ended.out + ended.err;
  assert.match(damage, new RegExp(`${key}.*does not decompress`));
  assert.match(damage, /journal\/0{32}-0{8}.*does not have its mark/);
  assert.match(damage, /runs\/0{32}-0{8}.*larger than/);
});

test('does not write into the repository', async () => {
  await using temporary = temporaryFolder();
  const repository = temporary.at('repository');
  HandMade.withBase(repository, { entries: [folder(''), file('a')] });
  const state = (): readonly string[] =>
    readdirSync(repository, { recursive: true }).map(
      (name) => `${String(name)} ${lstatSync(join(repository, String(name)), { bigint: true }).ctimeNs}`,
    );
  const before = state();
  const commands = [
    ['list', repository],
    ['verify', repository],
    ['ls', repository, 'latest', 'uploads'],
  ];
  for (const args of commands) runKit(args);
  runKit(['restore', repository, 'latest', temporary.at('out')]);
  assert.deepEqual(state(), before);
});

test('restores where the repository has been moved to, from a working folder of its own', async () => {
  await using temporary = temporaryFolder();
  HandMade.withBase(temporary.at('made'), { entries: [folder(''), file('a')] });
  renameSync(temporary.at('made'), temporary.at('copy'));
  const ended = runKit(['restore', 'copy', 'latest', 'deep/out'], { cwd: temporary.path });
  assert.equal(ended.status, 0, ended.err);
  assert.equal(readFileSync(temporary.at('deep', 'out', 'uploads', 'a'), 'utf8'), 'content of a');
});

test('--help shows the commands and the statuses', () => {
  const ended = runKit(['--help']);
  assert.equal(ended.status, 0);
  assert.match(ended.out, /restore REPOSITORY MARK FOLDER \[STORE\.\.\.\] \[--only PATH\]/);
});

test('the kit is one file that needs Node and nothing else', () => {
  const text = readFileSync(KIT, 'utf8');
  const imported = [...text.matchAll(/^import .+ from '(.+)';$/gm)].map(([, name = '']) => name);
  assert.doesNotMatch(text, /\b(?:require|import)\(/);
  assert.ok(imported.length >= 5);
  for (const name of imported) assert.match(name, /^node:/);
});

test('restores a store that has the name of what every object has', async () => {
  await using temporary = temporaryFolder();
  const repository = temporary.at('repository');
  HandMade.withBase(repository, { store: 'constructor', entries: [folder(''), file('a')] });
  const ended = runKit(['restore', repository, 'latest', temporary.at('out')]);
  assert.equal(ended.status, 0, ended.err);
  assert.equal(existsSync(temporary.at('out/constructor/a')), true);
});
