import { isUtf8 } from 'node:buffer';
import { hash } from 'node:crypto';
import { join } from 'node:path';
import { replaceFile } from '../../io/atomic-file.ts';
import { readFile } from 'node:fs/promises';
import { systemCode } from '../../core/errors.ts';
import type { RandomBytes, Run } from '../../core/run.ts';
import type { ObjectNews } from './chunk-index.ts';

const FORMAT = 'tidemark chunk index';
const VERSION = 1;
const FILE = 'list';

/**
 * `objects`: index objects of the repository whose records are in it. `published`: all its records are in index
 * objects.
 */
export type RunEntry = {
  readonly file: string;
  readonly records: number;
  readonly published: boolean;
  readonly objects: readonly string[];
};

/**
 * What the folder holds. `objects`: those that were read and added no record; `replaced`: those that another one
 * contains.
 */
export type RunList = {
  readonly runs: readonly RunEntry[];
  readonly objects: readonly string[];
  readonly replaced: readonly string[];
};

export const EMPTY_LIST: RunList = { runs: [], objects: [], replaced: [] };

/**
 * The list in a folder; undefined when it is damaged, of another version, or belongs to something else than `identity`.
 * @throws Node's file system errors
 */
export async function readRunList(folder: string, identity: string): Promise<RunList | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readFile(join(folder, FILE));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return EMPTY_LIST;
    throw error;
  }
  const [body = '', digest] = isUtf8(bytes) ? bytes.toString('utf8').split('\n') : [];
  if (digest !== hash('sha256', body)) return undefined;
  const value: unknown = JSON.parse(body);
  return isStoredList(value) && value.identity === identity ? value.list : undefined;
}

/** Replaces the list in one step. Only with the folder's lock. @throws Node's file system errors */
export async function writeRunList(
  folder: string,
  content: { readonly identity: string; readonly list: RunList; readonly random: RandomBytes },
  run: Run,
): Promise<void> {
  const { identity, list, random } = content;
  const body = JSON.stringify({ format: FORMAT, version: VERSION, identity, list } satisfies StoredList);
  await replaceFile(
    join(folder, FILE),
    [Buffer.from(`${body}\n${hash('sha256', body)}\n`)],
    { mode: 0o600, random },
    run,
  );
}

/** The list after this became known of index objects. Names that were read are noted with `file`, if it is there. */
export function withNews(list: RunList, news: ObjectNews, file: string | undefined): RunList {
  const gone = new Set(news.gone);
  const read = news.read ?? [];
  const owner = list.runs.some((run) => run.file === file) ? file : undefined;
  const left = (names: readonly string[]): readonly string[] => names.filter((name) => !gone.has(name));
  return {
    runs: list.runs.map((run) => ({
      ...run,
      objects: left(run.file === owner ? union(run.objects, read) : run.objects),
    })),
    objects: left(owner === undefined ? union(list.objects, read) : list.objects),
    replaced: left(union(list.replaced, news.replaced ?? [])),
  };
}

export function union(left: readonly string[], right: readonly string[]): readonly string[] {
  return [...new Set([...left, ...right])];
}

type StoredList = {
  readonly format: string;
  readonly version: number;
  readonly identity: string;
  readonly list: RunList;
};

/** The digest has shown that one of us wrote it: only the version can be another. */
function isStoredList(value: unknown): value is StoredList {
  const stored = value as Partial<StoredList> | null;
  return stored?.format === FORMAT && stored.version === VERSION;
}
