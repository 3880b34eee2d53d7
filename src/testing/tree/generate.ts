import { chmodSync, chownSync, lchownSync, linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { systemCode } from '../../core/errors.ts';
import { createSeededRandom } from '../../flow/random.ts';
import type { SeededRandom } from '../../flow/random.ts';
import { setTimes } from '../../io/native-time.ts';
import { writeXattr } from '../../io/native-xattr.ts';
import { lowPortsCapability, randomAcl } from './acl.ts';
import { holePatterns, randomContent, randomSize, runsOf, writeSparse } from './file-writer.ts';
import { childPath, LONGEST_NAME, oddNames, randomName } from './names.ts';
import { makeSpecialFiles } from './special-files.ts';

export type TreeOptions = {
  readonly seed: number | string;
  /** Files, folders and links besides the fixed oddities, which are always there (some 150). */
  readonly size: number;
  /** Sockets, fifos and, for root, devices. Default true. */
  readonly special?: boolean | undefined;
  /** A file and a folder that this user may not read; nothing for root, who may. Default false. */
  readonly unreadable?: boolean | undefined;
};

/** `missing`: oddities that this user or file system does not allow. */
export type GeneratedTree = { readonly missing: readonly string[] };

/** Room that is left below PATH_MAX, so that a tree can be restored beside and under a somewhat longer name. */
const LONGEST_PATH = 4_000;
const DEPTH = 100;
const SAFE_OWNERS = 60_000;

/**
 * Fills `root`, a new folder that this creates, with a tree that has everything a backup may meet. The same seed gives the same
 * names, contents, modes and times on every machine.
 */
export async function generateTree(root: string, options: TreeOptions): Promise<GeneratedTree> {
  const tree = new TreeMaker(Buffer.from(root), createSeededRandom(options.seed));
  makeNames(tree);
  makeModes(tree);
  makeLinks(tree);
  makeSparseFiles(tree);
  makeXattrs(tree);
  makeTimes(tree);
  makeDeepAndLong(tree);
  makeBulk(tree, options.size);
  if (options.special !== false) await makeSpecialFiles(tree.folder('special'), tree.missing);
  if (options.unreadable === true) makeUnreadable(tree);
  tree.finish();
  return { missing: tree.missing };
}

type Metadata = {
  readonly mode?: number | undefined;
  readonly mtimeNs?: bigint | undefined;
  readonly owned?: boolean | undefined;
};

/** Creates things in a tree and remembers folders, whose times and modes come last. */
class TreeMaker {
  readonly root: Buffer;
  readonly random: SeededRandom;
  readonly missing: string[] = [];
  readonly isRoot = process.geteuid?.() === 0;
  readonly #folders: { readonly path: Buffer; readonly mode: number; readonly mtimeNs: bigint }[] = [];

  constructor(root: Buffer, random: SeededRandom) {
    this.root = root;
    this.random = random;
    this.folderAt(root);
  }

  folder(name: string): Buffer {
    return this.folderAt(childPath(this.root, Buffer.from(name)));
  }

  folderAt(path: Buffer, metadata: Metadata = {}): Buffer {
    mkdirSync(path, 0o700);
    if (metadata.owned !== false) this.#own(path);
    this.#folders.push({ path, mode: metadata.mode ?? 0o755, mtimeNs: metadata.mtimeNs ?? this.time() });
    return path;
  }

  file(path: Buffer, content: Uint8Array, metadata: Metadata = {}): void {
    writeFileSync(path, content, { flag: 'wx', mode: 0o600 });
    if (metadata.owned !== false) this.#own(path);
    chmodSync(path, metadata.mode ?? this.random.pick([0o644, 0o600, 0o755, 0o640]));
    setTimes(path, { mtimeNs: metadata.mtimeNs ?? this.time() });
  }

  link(path: Buffer, target: Uint8Array): void {
    symlinkSync(Buffer.from(target), path);
    if (this.isRoot) lchownSync(path, this.random.integer(SAFE_OWNERS), this.random.integer(SAFE_OWNERS));
    setTimes(path, { mtimeNs: this.time() });
  }

  /** Between 1990 and 2020, to the nanosecond. */
  time(): bigint {
    const seconds = 631_152_000 + this.random.integer(946_684_800);
    return BigInt(seconds) * 1_000_000_000n + BigInt(this.random.integer(1_000_000_000));
  }

  /** What may be refused here: then it is noted and left out. */
  attempt(what: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      const code = systemCode(error);
      if (code !== 'EPERM' && code !== 'EACCES' && code !== 'ENOTSUP' && code !== 'EINVAL') throw error;
      this.missing.push(what);
    }
  }

  finish(): void {
    for (const { path, mode, mtimeNs } of this.#folders.toReversed()) {
      chmodSync(path, mode);
      setTimes(path, { mtimeNs });
    }
  }

  #own(path: Buffer): void {
    if (this.isRoot && this.random.chance(0.3)) {
      chownSync(path, this.random.integer(SAFE_OWNERS), this.random.integer(SAFE_OWNERS));
    }
  }
}

function makeNames(tree: TreeMaker): void {
  const files = tree.folder('names');
  const folders = tree.folder('folder names');
  for (const name of oddNames) {
    tree.file(childPath(files, name), randomContent(tree.random, 100));
    tree.file(childPath(tree.folderAt(childPath(folders, name)), name), randomContent(tree.random, 10));
  }
  tree.file(childPath(files, Buffer.from('empty')), Buffer.alloc(0));
  tree.folderAt(childPath(files, Buffer.from('empty folder')));
  // Bytewise order of what lies in a folder against names that continue its own.
  tree.file(childPath(tree.folderAt(childPath(files, Buffer.from('order'))), Buffer.from('z')), Buffer.from('1'));
  tree.file(childPath(files, Buffer.from('order\x01')), Buffer.from('2'));
  tree.file(childPath(files, Buffer.from('order-')), Buffer.from('3'));
  tree.file(childPath(files, Buffer.from('order.z')), Buffer.from('4'));
}

function makeModes(tree: TreeMaker): void {
  const folder = tree.folder('modes');
  for (const mode of [0o4755, 0o2755, 0o6711, 0o1644, 0o444, 0o200 | 0o400, 0o777, 0o400]) {
    tree.file(childPath(folder, Buffer.from(`file-${mode.toString(8)}`)), Buffer.from('content'), { mode });
  }
  for (const mode of [0o1777, 0o2775, 0o3770, 0o700, 0o711]) {
    tree.folderAt(childPath(folder, Buffer.from(`folder-${mode.toString(8)}`)), { mode });
  }
  if (tree.isRoot) {
    // Only root can write into them again, when the tree is edited or removed.
    for (const mode of [0o000, 0o500]) {
      const closed = tree.folderAt(childPath(folder, Buffer.from(`folder-${mode.toString(8)}`)), { mode });
      tree.file(childPath(closed, Buffer.from('inside')), Buffer.from('content'), { mode: 0o000 });
    }
  }
}

function makeLinks(tree: TreeMaker): void {
  const folder = tree.folder('links');
  const targets = ['nowhere', '/etc/passwd', '../..', '.', 'self', 'loop-b', '../names', 'a/'.repeat(100), '\xff\n'];
  for (const [index, target] of targets.entries()) {
    tree.link(childPath(folder, Buffer.from(index === 4 ? 'self' : `link-${index}`)), Buffer.from(target, 'latin1'));
  }
  tree.link(childPath(folder, Buffer.from('loop-a')), Buffer.from('loop-b'));
  tree.link(childPath(folder, Buffer.from('loop-b')), Buffer.from('loop-a'));
  tree.link(childPath(folder, Buffer.from('longest')), Buffer.alloc(4_095, 'x'));
  const [here, there] = [tree.folder('hard links'), tree.folder('more hard links')];
  const first = childPath(here, Buffer.from('first'));
  tree.file(first, randomContent(tree.random, 70_000));
  for (const name of ['second', 'third']) linkSync(first, childPath(here, Buffer.from(name)));
  linkSync(first, childPath(there, Buffer.from('before and after')));
  const empty = childPath(there, Buffer.from('empty'));
  tree.file(empty, Buffer.alloc(0));
  linkSync(empty, childPath(here, Buffer.from('empty too')));
  const symbolic = childPath(here, Buffer.from('symbolic'));
  tree.link(symbolic, Buffer.from('first'));
  tree.attempt('hard link of a symbolic link', () => linkSync(symbolic, childPath(there, Buffer.from('symbolic too'))));
}

function makeSparseFiles(tree: TreeMaker): void {
  const folder = tree.folder('sparse');
  for (const pattern of holePatterns) {
    const path = childPath(folder, Buffer.from(pattern));
    const { sizeBytes, runs } = runsOf(pattern);
    writeSparse(path, sizeBytes, runs, tree.random);
    setTimes(path, { mtimeNs: tree.time() });
  }
  linkSync(childPath(folder, Buffer.from('middle')), childPath(folder, Buffer.from('middle-again')));
}

function makeXattrs(tree: TreeMaker): void {
  const { random } = tree;
  const folder = tree.folder('xattrs');
  const file = (name: string): Buffer => {
    const path = childPath(folder, Buffer.from(name));
    tree.file(path, randomContent(random, 50), { mode: 0o644 });
    return path;
  };
  const put = (path: Buffer, name: string, value: Uint8Array): void => {
    tree.attempt(name, () => writeXattr(path, Buffer.from(name, 'latin1'), value));
  };
  const several = file('several');
  for (const name of ['user.z', 'user.a', 'user.\xff', `user.${'n'.repeat(LONGEST_NAME - 5)}`]) {
    put(several, name, random.bytes(30));
  }
  put(file('empty value'), 'user.empty', Buffer.alloc(0));
  put(file('large value'), 'user.large', random.bytes(2_000));
  put(file('read-only'), 'user.a', Buffer.from('x'));
  chmodSync(childPath(folder, Buffer.from('read-only')), 0o444);
  put(file('acl'), 'system.posix_acl_access', randomAcl(random));
  const shared = tree.folderAt(childPath(folder, Buffer.from('folder')), { mode: 0o2775 });
  put(shared, 'user.folder', Buffer.from('yes'));
  put(shared, 'system.posix_acl_default', randomAcl(random));
  tree.file(childPath(shared, Buffer.from('inherits')), Buffer.from('an ACL'), { mode: 0o660 });
  if (!tree.isRoot) return;
  const program = file('capability');
  chmodSync(program, 0o755);
  put(program, 'security.capability', lowPortsCapability());
  put(file('trusted'), 'trusted.tidemark', Buffer.from('root only'));
  const link = childPath(folder, Buffer.from('link'));
  tree.link(link, Buffer.from('several'));
  put(link, 'trusted.tidemark', Buffer.from('of a link'));
}

function makeTimes(tree: TreeMaker): void {
  const folder = tree.folder('times');
  const times = [0n, 1n, -1n, -1_500_000_000n, 1_000_000_000n * 7_000_000_000n, 1_234_567_890_123_456_789n];
  for (const [index, mtimeNs] of times.entries()) {
    tree.file(childPath(folder, Buffer.from(`file-${index}`)), Buffer.from('t'), { mtimeNs });
    tree.folderAt(childPath(folder, Buffer.from(`folder-${index}`)), { mtimeNs });
  }
}

function makeDeepAndLong(tree: TreeMaker): void {
  let deep = tree.folder('deep');
  for (let level = 0; level < DEPTH; level++) deep = tree.folderAt(childPath(deep, Buffer.from('d')), { owned: false });
  tree.file(childPath(deep, Buffer.from('bottom')), Buffer.from('deep'));
  let long = tree.folder('long');
  while (long.byteLength + LONGEST_NAME + 1 < LONGEST_PATH) {
    long = tree.folderAt(childPath(long, Buffer.alloc(LONGEST_NAME, 'l')));
  }
  tree.file(childPath(long, Buffer.alloc(LONGEST_PATH - long.byteLength - 1, 'f')), Buffer.from('long'));
}

function makeBulk(tree: TreeMaker, size: number): void {
  const { random } = tree;
  const folders = [tree.folder('bulk')];
  for (let number = 0; number < size; number++) {
    const path = childPath(random.pick(folders), randomName(random, number));
    // Names grow no longer than this, so that every path stays well below PATH_MAX.
    if (random.chance(0.12) && path.byteLength < 1_000) folders.push(tree.folderAt(path));
    else if (random.chance(0.05)) tree.link(path, randomName(random, number));
    else tree.file(path, randomContent(random, randomSize(random)));
  }
}

function makeUnreadable(tree: TreeMaker): void {
  if (tree.isRoot) {
    tree.missing.push('unreadable files');
    return;
  }
  tree.file(childPath(tree.folder('unreadable'), Buffer.from('file')), Buffer.from('secret'), { mode: 0o000 });
  tree.folderAt(childPath(tree.root, Buffer.from('unlistable')), { mode: 0o300 });
}
