import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, readFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createSeededRandom } from '../../src/flow/random.ts';
import { compareSnapshots } from '../../src/testing/tree/compare.ts';
import { editTree } from '../../src/testing/tree/edit.ts';
import { generateTree } from '../../src/testing/tree/generate.ts';
import { snapshotTree } from '../../src/testing/tree/snapshot.ts';
import type { Snapshot } from '../../src/testing/tree/snapshot.ts';
import { temporaryFolder } from '../../src/testing/tree/temporary-folder.ts';
import { runKit } from './run-kit.ts';
import type { Ended } from './run-kit.ts';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const isRoot = process.geteuid?.() === 0;
const isFull = process.env['TIDEMARK_TEST_LEVEL'] === 'full';
const PASSPHRASE = 'of the product';
const temporary = temporaryFolder('tidemark-kit');
const repository = temporary.at('backups');
/** The tree as it was at each mark, by the mark's id. */
const moments = new Map<string, Snapshot>();

function tidemark(...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args, '--json'], {
    cwd: temporary.path,
    env: { PATH: process.env['PATH'] ?? '', HOME: temporary.path, TIDEMARK_PASSPHRASE: PASSPHRASE },
    encoding: 'utf8',
    input: '',
    timeout: 120_000,
  });
  assert.equal(status, 0, stderr);
  return stdout;
}

function backup(): void {
  const [last = ''] = tidemark('backup').trimEnd().split('\n').slice(-1);
  const { mark } = JSON.parse(last) as { readonly mark: { readonly id: string } };
  moments.set(mark.id, snapshotTree(temporary.at('data')));
}

function kit(...args: readonly string[]): Ended {
  const ended = runKit(args, { passphrase: PASSPHRASE });
  assert.doesNotMatch(ended.err, / {4}at |TypeError|ReferenceError/);
  return ended;
}

const micros = (ns = -1n): bigint => (ns + 2n ** 62n * 1000n) / 1000n;

function assertSame(moment: Snapshot, folder: string): void {
  const restored = snapshotTree(folder);
  const ignore = ['mtimeNs', 'xattrs', ...(isRoot ? [] : (['owner', 'mode'] as const))] as const;
  assert.deepEqual(compareSnapshots(moment, restored, { ignore }), []);
  for (const [path, { mtimeNs, type }] of moment) {
    const found = restored.get(path)?.mtimeNs;
    if (['file', 'folder', 'link'].includes(type)) assert.equal(micros(found), micros(mtimeNs), path);
  }
}

before(async () => {
  await generateTree(temporary.at('data'), { seed: 'kit', size: 150 });
  writeFileSync(
    temporary.at('tidemark.yaml'),
    'application: shop\nrepository: ./backups\nstores:\n  uploads: files:./data\n',
  );
  tidemark('init');
  backup();
  for (const seed of [1, 2]) {
    editTree(temporary.at('data'), { seed, edits: 40 });
    backup();
  }
});

after(() => temporary[Symbol.asyncDispose]());

test('every mark of a real repository is restored to exactly what was there', () => {
  assert.equal(moments.size, 3);
  for (const [id, moment] of moments) {
    const ended = kit('restore', repository, id, temporary.at(`out-${id}`));
    assert.equal(ended.status, 0, ended.err);
    assertSame(moment, temporary.at(`out-${id}`, 'uploads'));
    rmSync(temporary.at(`out-${id}`), { recursive: true });
  }
});

test('setfattr brings back what the kit can’t set', (t) => {
  const [id, moment] = [...moments].at(-1) ?? assert.fail('no mark');
  const out = temporary.at('out-xattrs');
  assert.equal(kit('restore', repository, id, out).status, 0);
  const options = { cwd: join(out, 'uploads'), encoding: 'utf8' } as const;
  const set = spawnSync('setfattr', ['-h', '--restore=../uploads.setfattr'], options);
  if (set.error !== undefined || !isRoot) return t.skip('needs setfattr and root');
  assert.equal(set.status, 0, set.stderr);
  assert.deepEqual(compareSnapshots(moment, snapshotTree(options.cwd), { ignore: ['mtimeNs'] }), []);
});

test('the kit and Tidemark see the same marks, entries and damage-free whole', () => {
  const listed = kit('list', repository);
  assert.deepEqual([listed.status, listed.err], [0, '']);
  const shown = JSON.parse(tidemark('marks').trimEnd().split('\n').at(-1) ?? '') as {
    readonly marks: readonly {
      readonly id: string;
      readonly at: string;
      readonly skewMs: number;
      readonly state: string;
    }[];
  };
  assert.deepEqual(new Set(shown.marks.map(({ id }) => id)), new Set(moments.keys()));
  for (const { id, at, skewMs, state } of shown.marks) {
    assert.ok(listed.out.includes(`${id}  ${at}  ${state}, clock within ${skewMs} ms`), id);
  }
  const verified = kit('verify', repository);
  assert.equal(verified.status, 0, verified.err);
  const names = JSON.parse(tidemark('ls', 'latest', 'uploads', 'names').trimEnd().split('\n').at(-1) ?? '') as {
    readonly entries: readonly { readonly name: string; readonly size: number }[];
  };
  assert.equal(
    kit('ls', repository, 'latest', 'uploads', 'names').out.trimEnd().split('\n').length,
    names.entries.length,
  );
});

test('the index, what names start and end, and files of a file manager do not matter to a restore', async () => {
  await using copy = temporaryFolder();
  cpSync(repository, copy.at('copy'), { recursive: true });
  rmSync(copy.at('copy', 'index'), { recursive: true });
  rmSync(copy.at('copy', '.tmp'), { recursive: true, force: true });
  writeFileSync(copy.at('copy', 'packs', 'Thumbs.db'), 'x');
  const [id, moment] = [...moments].at(-1) ?? assert.fail('no mark');
  assert.equal(kit('restore', copy.at('copy'), 'latest', copy.at('out')).status, 0, id);
  assertSame(moment, copy.at('out', 'uploads'));
});

function objectsOf(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

type Spoil = (path: string, seed: ReturnType<typeof createSeededRandom>) => void;

const spoils: Readonly<Record<string, Spoil>> = {
  flip: (path, random) => {
    const bytes = readFileSync(path);
    const at = random.integer(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.integer(8));
    writeFileSync(path, bytes);
  },
  truncate: (path, random) => truncateSync(path, random.integer(statSync(path).size)),
  remove: (path) => rmSync(path),
  empty: (path) => truncateSync(path, 0),
  append: (path) => writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.from('x')])),
};

test('whatever is damaged, nothing wrong is restored, the loss is told, and the rest is there', async () => {
  await using copy = temporaryFolder();
  const random = createSeededRandom('damage');
  const [id, moment] = [...moments].at(-1) ?? assert.fail('no mark');
  for (let round = 0; round < (isFull ? 40 : 10); round += 1) {
    cpSync(repository, copy.at('copy'), { recursive: true });
    const objects = objectsOf(copy.at('copy')).filter((path) => !path.includes('/index/'));
    const [path, way] = [random.pick(objects), random.pick(Object.keys(spoils))];
    spoils[way]?.(path, random);
    const label = `round ${round}: ${way} ${path.slice(copy.at('copy').length)}`;
    const ended = kit('restore', copy.at('copy'), id, copy.at('out'));
    const expected = [0, 4, 5, 7, ...(path.includes('/keys/') ? [6] : []), ...(path.endsWith('.json') ? [1] : [])];
    assert.ok(expected.includes(ended.status ?? -1), `${label}: ${ended.status} ${ended.err}`);
    const differences = existsAt(copy.at('out', 'uploads'))
      ? compareSnapshots(moment, snapshotTree(copy.at('out', 'uploads')), { ignore: ['mtimeNs', 'xattrs'] })
      : [];
    // Restored without status 0: parts may be missing, but a file that is there is right.
    const wrong = differences.filter(
      ({ what }) => ended.status === 0 || ['content', 'sizeBytes', 'extra'].includes(what),
    );
    assert.deepEqual(wrong, [], label);
    if (ended.status !== 0) assert.match(ended.err, /damaged|tidemark-kit: /, label);
    if (ended.status === 0 || isFull) assertFound(copy.at('copy'), path, label);
    rmSync(copy.at('copy'), { recursive: true });
    rmSync(copy.at('out'), { recursive: true, force: true });
  }
});

/**
 * Verify finds everything but what only the fingerprint tells: that the newest record is gone. A beat says nothing that a
 * restore needs.
 */
function assertFound(folder: string, path: string, label: string): void {
  if (kit('verify', folder).status !== 0) return;
  assert.ok(!existsAt(path), `${label}: verify found nothing`);
  const isBeat = /sessions\/[0-9a-f]{32}\/(?!0{8})[0-9a-f]{8}$/.test(path);
  const fingerprint = (where: string): string => /fingerprint (\S+)/.exec(kit('list', where).out)?.[1] ?? '';
  if (!isBeat) assert.notEqual(fingerprint(folder), fingerprint(repository), label);
}

function existsAt(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
