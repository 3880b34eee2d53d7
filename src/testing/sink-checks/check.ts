import type { Batch, Change, Put } from '../../core/change.ts';
import { orderOf } from '../../core/position.ts';
import type { Position } from '../../core/position.ts';
import type { Run } from '../../core/run.ts';
import type { Sink } from '../../core/sink.ts';
import { EVERYTHING } from '../../core/source.ts';
import type { Scope } from '../../core/source.ts';

/** A fresh, empty store that changes are applied to. Dispose releases it with all that is in it. */
export interface SinkFixture extends AsyncDisposable {
  /** Opens a sink as a new process would. The suite disposes it. */
  open(): Promise<Sink>;
  /** All that anyone can see, by key. */
  read(): Promise<ReadonlyMap<string, string>>;
  /** Writes as somebody else does, who is not to be there. */
  write(key: string, value: string): Promise<void>;
}

export type SinkCheckContext = {
  readonly fixture: SinkFixture;
  readonly run: Run;
  /** Of what the check does at random. */
  readonly seed: number;
};

/** One promise of the contract. `verify` rejects when the sink breaks it. */
export type SinkCheck = { readonly title: string; verify(context: SinkCheckContext): Promise<void> };

export const MIRROR = 'orders';

export function positionAt(count: number, lineage = 'one'): Position {
  return { lineage, order: orderOf(count), resume: `place ${count}` };
}

export function putOf(key: string, value: string): Put {
  return { op: 'put', key: { space: '', bytes: Buffer.from(key) }, value: Buffer.from(value) };
}

export function deleteOf(key: string): Change {
  return { op: 'delete', key: { space: '', bytes: Buffer.from(key) } };
}

/** `count`: the place that the batch ends at; none for a part. */
export function batchOf(changes: readonly Change[], count?: number, lineage?: string): Batch {
  return { changes, ...(count !== undefined && { commit: { position: positionAt(count, lineage), atMs: count } }) };
}

/** A whole resync. */
export async function resync(
  sink: Sink,
  options: {
    readonly puts: readonly Put[];
    readonly cut: Position;
    readonly scope?: Scope | undefined;
    readonly mirror?: string | undefined;
  },
  run: Run,
): Promise<void> {
  const { puts, cut, scope = EVERYTHING, mirror = MIRROR } = options;
  await using going = await sink.beginResync(mirror, scope, cut, run);
  for (let at = 0; at < puts.length; at += 2) await going.put(puts.slice(at, at + 2), run);
  await going.finish(run);
}
