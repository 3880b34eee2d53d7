import { must } from '../../core/must.ts';
import { checkPackBytes } from '../verify/check-pack.ts';
import type { CheckPackRequest, CheckedPack } from '../verify/check-pack.ts';
import { fillFiles } from '../extract/fill-files.ts';
import type { FillRequest, FilledFiles } from '../extract/fill-files.ts';
import { beginFile, reuseFiles, reuseStretch } from '../extract/reuse-files.ts';
import type {
  BeginRequest,
  BegunFile,
  ReusedFiles,
  ReusedStretch,
  ReuseRequest,
  StretchRequest,
} from '../extract/reuse-files.ts';
import type { Operation } from './worker-operations.ts';

/** Memory that sealed bytes come in; all slots, by their index. */
export type ReadSetup = { readonly slots: readonly SharedArrayBuffer[] };

export type ReadOperations = {
  readonly fill: Operation<{ readonly slot: number; readonly fill: FillRequest }, FilledFiles>;
  readonly reuse: Operation<ReuseRequest, ReusedFiles>;
  readonly begin: Operation<BeginRequest, BegunFile>;
  readonly reuseStretch: Operation<StretchRequest, ReusedStretch>;
  readonly checkPack: Operation<{ readonly slot: number; readonly pack: CheckPackRequest }, CheckedPack>;
};

/** What restoring and verifying do on workers. */
export function createReadOperations(setup: ReadSetup | undefined): ReadOperations {
  const slots = setup?.slots.map((memory) => new Uint8Array(memory)) ?? [];
  const slotAt = (index: number): Uint8Array => must(slots[index], 'the worker has been given this slot');
  return {
    fill: ({ slot, fill }) => ({ value: fillFiles(slotAt(slot), fill) }),
    reuse: (request) => ({ value: reuseFiles(request) }),
    begin: (request) => ({ value: beginFile(request) }),
    reuseStretch: (request) => ({ value: reuseStretch(request) }),
    checkPack: ({ slot, pack }) => ({ value: checkPackBytes(slotAt(slot), pack) }),
  };
}
