import { lchown, mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Run } from '../../../core/run.ts';
import { syncFolder } from '../../../io/atomic-file.ts';
import { effectiveCommands } from '../commands/command-filter.ts';
import type { MovedExpiry } from '../commands/command-filter.ts';
import { readCommands } from '../commands/command-reader.ts';
import { encodeCommand } from '../resp.ts';
import { moveRdb } from './move-rdb.ts';
import { filePieces, writeFileFrom } from './work-files.ts';
import type { WorkFiles } from './work-files.ts';

const USUAL_DATABASES = 16;
const FOLDER = 'appendonlydir';
const BASE = 'appendonly.aof.1.base.rdb';
const INCREMENT = 'appendonly.aof.1.incr.aof';
const MANIFEST = 'appendonly.aof.manifest';

export type AofFolder = {
  /** Created; what an earlier call left there is removed. */
  readonly folder: string;
  /** Where it will be when a server is started on it. */
  readonly target: string;
  readonly files: WorkFiles;
  readonly hasLog: boolean;
  /** In which the commands begin; and how many a server must have. */
  readonly streamDatabase: number;
  readonly databases: number;
  /** Undefined: as they are. */
  readonly expiry: MovedExpiry | undefined;
  /** Whose the files are to be; whoever writes them where it is absent. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
};

/**
 * Makes a data folder of Redis 7 that holds what was staged, as its append-only file: a server that finds one loads that and nothing else, and while it loads
 * nothing expires. A server that is given a dump.rdb and then told `appendonly yes` would start empty. Durable when it resolves.
 */
export async function makeAofFolder(options: AofFolder, run: Run): Promise<void> {
  const { folder, files, hasLog, expiry, owner } = options;
  await rm(folder, { recursive: true, force: true });
  const inner = join(folder, FOLDER);
  await mkdir(inner, { recursive: true, mode: 0o700 });
  await writeFileFrom(join(inner, BASE), expiry ? moveRdb(files.rdb, expiry, run) : filePieces(files.rdb, run), run);
  await writeFileFrom(join(inner, INCREMENT), hasLog ? commandPieces(options, run) : nothing(), run);
  const manifest = `file ${BASE} seq 1 type b\nfile ${INCREMENT} seq 1 type i\n`;
  await writeFileFrom(join(inner, MANIFEST), text(manifest), run);
  await writeFileFrom(join(folder, 'redis.conf'), text(configuration(options)), run);
  if (owner !== undefined) {
    const names = ['.', 'redis.conf', FOLDER, ...[BASE, INCREMENT, MANIFEST].map((name) => join(FOLDER, name))];
    for (const name of names) await lchown(join(folder, name), owner.uid, owner.gid);
  }
  await syncFolder(folder);
}

/** Makes the folder in which those of a cluster's shards go, with a word on what to do with them. */
export async function makeClusterFolder(
  {
    folder,
    folders,
    owner,
  }: {
    readonly folder: string;
    readonly folders: readonly { readonly name: string; readonly slots: string }[];
    readonly owner: AofFolder['owner'];
  },
  run: Run,
): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const lines = [
    'What was a Redis cluster: a data folder of each of its masters, on which a Redis 7 or newer starts with the redis.conf that lies in it.',
    'To make a cluster of them, start each one with `cluster-enabled yes` too, say CLUSTER MEET HOST PORT for the others to one of them,',
    'and run `redis-cli --cluster fix HOST:PORT`: a server takes the slots of which it has keys, and this gives away the others.',
    '',
    ...folders.map(({ name, slots }) => `${name} had the slots ${slots === '' ? '(none)' : slots}`),
    '',
  ];
  await writeFileFrom(join(folder, 'README.txt'), text(lines.join('\n')), run);
  if (owner !== undefined) {
    for (const name of ['.', 'README.txt']) await lchown(join(folder, name), owner.uid, owner.gid);
  }
}

/** Of what is there already; undefined when nothing is. */
export async function ownerOf(path: string): Promise<AofFolder['owner']> {
  const { uid, gid } = (await stat(path).catch(() => undefined)) ?? {};
  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}

async function* commandPieces({ files, streamDatabase, expiry }: AofFolder, run: Run): AsyncGenerator<Uint8Array> {
  if (streamDatabase > 0) yield encodeCommand(['SELECT', String(streamDatabase)]);
  for await (const batch of readCommands(filePieces(files.commands, run))) {
    yield* effectiveCommands(batch, expiry).bytes;
  }
}

function configuration({ target, databases }: AofFolder): string {
  return [
    '# For Redis 7 or later: with these lines it starts with what was restored. Without appendonly yes it would start empty.',
    `dir ${JSON.stringify(target)}`,
    'appendonly yes',
    // With fewer it would do the commands of one database in another.
    `databases ${Math.max(databases, USUAL_DATABASES)}`,
    `appenddirname ${FOLDER}`,
    'appendfilename appendonly.aof',
    '',
  ].join('\n');
}

async function* text(content: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(content);
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
