import { systemCode } from '../../core/errors.ts';
import type { Run } from '../../core/run.ts';
import { applyAttributes } from './apply-attributes.ts';
import { decodeAttributes } from './attributes.ts';
import { bytesOf, printablePath } from './byte-text.ts';
import { describe, typeOf } from './describe.ts';
import type { Found } from './describe.ts';
import { statusOf } from './file-status.ts';
import { copyLocally } from './local-copy.ts';
import type { Notes } from './notes.ts';
import type { Staging } from './staging.ts';
import type { FilePlan, TreeWriter } from './tree-writer.ts';

const ATTEMPTS = 3;

export type KeptFile = { readonly plan: FilePlan; readonly found: Found };
type Keeping = { readonly writer: TreeWriter; readonly staging: Staging; readonly notes: Notes };

/**
 * Brings over a file that `--only` does not touch. The folder is in use: one that was written to since it was looked at is looked at again, and
 * one that is gone is left out.
 */
export async function keepLocal(keeping: Keeping, file: KeptFile, run: Run): Promise<void> {
  let current = file;
  for (let attempt = 1; ; attempt++) {
    const error = await copyOnce(keeping, current, run);
    const again = error === undefined || attempt === ATTEMPTS ? undefined : lookAgain(current);
    if (again === undefined) {
      finish(keeping, current.plan, error);
      return;
    }
    current = again;
  }
}

async function copyOnce({ staging, notes }: Keeping, { plan, found }: KeptFile, run: Run): Promise<unknown> {
  const { attributes } = plan.entry;
  const path = bytesOf(plan.relative);
  const note = (what: string): void => notes.add(`${printablePath(plan.relative)}: ${what}`);
  try {
    const copy = { found, folder: staging.folder, path, extents: attributes.extents };
    await copyLocally(copy, (file) => applyAttributes(file, attributes, plan.owner, note), run);
    return undefined;
  } catch (error) {
    run.signal.throwIfAborted();
    return error;
  }
}

function lookAgain({ plan, found }: KeptFile): KeptFile | undefined {
  try {
    const now = { ...found, status: statusOf(found.path) };
    if (typeOf(now.status) !== 'file') return undefined;
    const { attributes: encoded } = describe(now, true, () => undefined);
    const entry = { ...plan.entry, attributes: decodeAttributes(encoded), encoded };
    return { plan: { ...plan, entry }, found: now };
  } catch {
    // What is wrong with it has been told by the copy.
    return undefined;
  }
}

function finish({ writer, notes }: Keeping, plan: FilePlan, error: unknown): void {
  const isGone = systemCode(error) === 'ENOENT' && plan.linked === undefined;
  if (isGone) notes.add(`${printablePath(plan.relative)} vanished before it was copied`);
  const failure = error === undefined || isGone ? {} : { error };
  writer.finishFile({ tag: plan, sizeBytes: 0, reused: true, ...failure });
}
