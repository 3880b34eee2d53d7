import type { Position } from '../core/position.ts';
import type { Observation } from '../core/recorder.ts';
import type { Run } from '../core/run.ts';
import { PayloadBuilder } from '../repository/format/log-payload.ts';
import type { StoredChange } from '../repository/format/log-payload.ts';
import { assertRecordable } from '../repository/transaction-size.ts';
import type { RepositoryWriter } from '../repository/writer.ts';
import type { LogBlock } from './log-queue.ts';

/**
 * Stores what an observation found, as a block that follows `after`. Names that went come first: one that came back under another kind is told last.
 * @throws POSITION_LOST where it found too much at once
 */
export async function storeObserved(
  observation: Observation,
  options: { readonly writer: RepositoryWriter; readonly after: Position; readonly atMs: number },
  run: Run,
): Promise<LogBlock> {
  const { writer, after, atMs } = options;
  const { leaves, packs, end } = await writer.storeObservation(observation, run);
  const removed = observation.removed.map((name): StoredChange => ({ name, removed: true }));
  const changes = [...removed, ...leaves];
  const builder = new PayloadBuilder();
  builder.piece({ changes, commit: { position: end.cut, atMs } });
  assertRecordable(builder.sizeBytes);
  const pieces = builder.takePieces();
  return { pieces, after, upTo: end.cut, fromMs: atMs, toMs: atMs, changes: changes.length, packs };
}
