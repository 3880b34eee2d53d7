import { join } from 'node:path';
import { toHex } from '../core/bytes.ts';
import { systemCode } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import { ensureFolder, readSmallFile, replaceFile } from '../io/atomic-file.ts';
import { openStateFolder, stateHomePath } from '../io/state-folder.ts';
import { sha256 } from '../repository/format/crypto.ts';
import type { AppContext, OpenApplication } from './application.ts';

const FOLDER = 'by-url';
const ID_BYTES = 32;

/** A repository that this host has recorded into: its id, and the folder of this host's state for it. */
export type KnownRepository = { readonly id: string; readonly stateFolder: string };

/** So that what records into it is found also while the repository itself is away. */
export async function rememberRepository({ context, header }: OpenApplication, run: Run): Promise<void> {
  const path = pathOf(context);
  await ensureFolder(join(path, '..'), 0o700);
  await replaceFile(path, [Buffer.from(header.id)], { mode: 0o600, random: context.runtime.random }, run);
}

/** Undefined when this host never recorded into what is at that URL. */
export async function recallRepository(context: AppContext): Promise<KnownRepository | undefined> {
  try {
    const id = Buffer.from(await readSmallFile(pathOf(context), ID_BYTES)).toString();
    return /^[0-9a-f]{32}$/.test(id) ? { id, stateFolder: await openStateFolder(id, context.stateOwner) } : undefined;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function pathOf({ stateOwner, repositoryUrl }: AppContext): string {
  return join(stateHomePath(stateOwner), FOLDER, toHex(sha256(Buffer.from(repositoryUrl))));
}
