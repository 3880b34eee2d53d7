import {
  chmodSync,
  chownSync,
  constants,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  closeSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeSync,
  writeFileSync,
} from 'node:fs';
import { systemCode } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import { createSeededRandom } from '../../flow/random.ts';
import type { SeededRandom } from '../../flow/random.ts';
import { setTimes } from '../../io/native-time.ts';
import { removeXattr, writeXattr } from '../../io/native-xattr.ts';
import { holePatterns, randomContent, randomSize, runsOf, writeSparse } from './file-writer.ts';
import { childPath, randomName } from './names.ts';

export type EditOptions = {
  readonly seed: number | string;
  readonly edits: number;
  /** Names of edits that are not done. */
  readonly without?: readonly string[] | undefined;
};

type Place = { readonly path: Buffer; readonly type: 'file' | 'folder' | 'link' };
type Edits = { readonly root: Buffer; readonly random: SeededRandom; readonly places: readonly Place[] };
type Edit = (edits: Edits) => void;

/** Paths stay far enough from PATH_MAX that folders can move about. */
const LONGEST_TOUCHED = 1_500;

/**
 * Changes a tree the way people and programs do, `edits` times at random. What was done comes back as names of edits, in order. The same
 * seed on the same tree does the same.
 */
export function editTree(root: string, options: EditOptions): readonly string[] {
  const random = createSeededRandom(options.seed);
  const done: string[] = [];
  const names = Object.keys(EDITS).filter((name) => options.without?.includes(name) !== true);
  for (let count = 0; count < options.edits; count++) {
    const name = random.pick(names);
    const edit = must(EDITS[name], 'an edit of that name');
    done.push(
      attempt(() => edit({ root: Buffer.from(root), random, places: placesOf(Buffer.from(root)) }))
        ? name
        : `${name}: refused`,
    );
  }
  return done;
}

/** False where this user may not: a file without permissions stays as it is. */
function attempt(work: () => void): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (systemCode(error) === 'EACCES' || systemCode(error) === 'EPERM') return false;
    throw error;
  }
}

function placesOf(folder: Buffer): Place[] {
  const places: Place[] = [];
  const list = (parent: Buffer): void => {
    for (const name of readdirSync(parent, { encoding: 'buffer' }).sort(Buffer.compare)) {
      const path = childPath(parent, name);
      const stats = lstatSync(path);
      if (path.byteLength > LONGEST_TOUCHED) continue;
      if (stats.isDirectory()) {
        places.push({ path, type: 'folder' });
        list(path);
      } else if (stats.isFile() || stats.isSymbolicLink()) {
        places.push({ path, type: stats.isFile() ? 'file' : 'link' });
      }
    }
  };
  list(folder);
  return places;
}

function anyOf({ places, random }: Edits, type?: Place['type']): Buffer | undefined {
  const fitting = places.filter((place) => type === undefined || place.type === type);
  return fitting.length === 0 ? undefined : random.pick(fitting).path;
}

function newPath(edits: Edits): Buffer {
  const parent = edits.random.chance(0.2) ? edits.root : (anyOf(edits, 'folder') ?? edits.root);
  return childPath(parent, randomName(edits.random, edits.random.integer(1_000_000_000)));
}

/** An edit of one thing of this type; nothing happens where there is none. */
function withOne(type: Place['type'] | undefined, work: (path: Buffer, edits: Edits) => void): Edit {
  return (edits) => {
    const path = anyOf(edits, type);
    if (path !== undefined) work(path, edits);
  };
}

/** Writes over part of a file, without changing its length. */
function overwrite(path: Buffer, random: SeededRandom): void {
  const { size } = lstatSync(path);
  if (size === 0) return;
  const offset = random.integer(Math.min(size, 2 ** 31));
  const piece = random.bytes(Math.min(size - offset, 1 + random.integer(5_000)));
  const file = openSync(path, constants.O_WRONLY | constants.O_NOFOLLOW);
  try {
    writeSync(file, piece, 0, piece.byteLength, offset);
  } finally {
    closeSync(file);
  }
}

function replace(path: Buffer, work: () => void): void {
  rmSync(path, { recursive: true, force: true });
  work();
}

function isInside(path: Buffer, folder: Buffer): boolean {
  return (
    path.equals(folder) || path.subarray(0, folder.byteLength + 1).equals(Buffer.concat([folder, Buffer.from('/')]))
  );
}

const EDITS: Readonly<Record<string, Edit>> = {
  createFile: (edits) => writeFileSync(newPath(edits), randomContent(edits.random, randomSize(edits.random))),
  createFolder: (edits) => mkdirSync(newPath(edits)),
  createLink: (edits) => symlinkSync(randomName(edits.random, 1), newPath(edits)),
  createSparse: (edits) => {
    const { sizeBytes, runs } = runsOf(edits.random.pick(holePatterns));
    writeSparse(newPath(edits), sizeBytes, runs, edits.random);
  },
  append: withOne('file', (path, { random }) =>
    writeFileSync(path, randomContent(random, 1 + random.integer(5_000)), { flag: 'a' }),
  ),
  overwriteInPlace: withOne('file', (path, { random }) => overwrite(path, random)),
  overwriteSecretly: withOne('file', (path, { random }) => {
    const { mtimeNs } = lstatSync(path, { bigint: true });
    overwrite(path, random);
    setTimes(path, { mtimeNs });
  }),
  rewrite: withOne('file', (path, { random }) => writeFileSync(path, randomContent(random, randomSize(random)))),
  truncate: withOne('file', (path, { random }) => truncateSync(path, random.integer(lstatSync(path).size + 1))),
  grow: withOne('file', (path, { random }) => truncateSync(path, lstatSync(path).size + random.integer(100_000))),
  punchHoles: withOne('file', (path, { random }) => {
    const { sizeBytes, runs } = runsOf(random.pick(holePatterns));
    replace(path, () => writeSparse(path, sizeBytes, runs, random));
  }),
  rename: withOne(undefined, (path, edits) => {
    const to = newPath(edits);
    if (!isInside(to, path)) renameSync(path, to);
  }),
  renameOver: withOne('file', (path, edits) => {
    const over = anyOf(edits, 'file');
    if (over !== undefined) renameSync(path, over);
  }),
  delete: withOne(undefined, (path) => rmSync(path, { recursive: true, force: true })),
  deleteFile: withOne('file', (path) => rmSync(path)),
  chmod: withOne('file', (path, { random }) => chmodSync(path, 0o400 | random.integer(0o400) | 0o200)),
  chmodFolder: withOne('folder', (path, { random }) =>
    chmodSync(path, 0o700 | random.integer(0o100) | (random.chance(0.2) ? 0o2000 : 0)),
  ),
  chown: withOne('file', (path, { random }) => {
    if (process.geteuid?.() === 0) chownSync(path, random.integer(1_000), random.integer(1_000));
  }),
  setXattr: withOne('file', (path, { random }) =>
    writeXattr(path, Buffer.from(`user.${random.integer(3)}`), random.bytes(random.integer(50))),
  ),
  removeXattr: withOne('file', (path, { random }) => removeXattr(path, Buffer.from(`user.${random.integer(3)}`))),
  touch: withOne(undefined, (path, { random }) => {
    setTimes(path, {
      mtimeNs: BigInt(random.integer(2 ** 31)) * 1_000_000_000n + BigInt(random.integer(1_000_000_000)),
    });
  }),
  fileToFolder: withOne('file', (path, { random }) =>
    replace(path, () => {
      mkdirSync(path);
      writeFileSync(childPath(path, randomName(random, 1)), randomContent(random, 100));
    }),
  ),
  folderToFile: withOne('folder', (path, { random }) =>
    replace(path, () => writeFileSync(path, randomContent(random, 100))),
  ),
  fileToLink: withOne('file', (path) => replace(path, () => symlinkSync('elsewhere', path))),
  linkToFile: withOne('link', (path, { random }) =>
    replace(path, () => writeFileSync(path, randomContent(random, 100))),
  ),
  addHardLink: withOne('file', (path, edits) => linkSync(path, newPath(edits))),
  breakHardLink: withOne('file', (path, { random }) => {
    if (lstatSync(path).nlink > 1) replace(path, () => writeFileSync(path, randomContent(random, 100)));
  }),
};
