import type { Position } from '../core/position.ts';
import type { Observation } from '../core/recorder.ts';
import type { Clock, Run } from '../core/run.ts';
import { PayloadBuilder } from '../repository/format/log-payload.ts';
import type { StoredChange } from '../repository/format/log-payload.ts';
import { assertRecordable } from '../repository/transaction-size.ts';
import type { RepositoryWriter } from '../repository/writer.ts';
import type { LogBlock } from './log-queue.ts';

/**
 * Stores what an observation found, as a block that follows `after`. Names that went come first: one that came back under another kind is told last.
 * Its time is when the last of it had been read, so that nothing in it is from later.
 * @throws POSITION_LOST where it found too much at once
 */
export async function storeObserved(
  observation: Observation,
  options: { readonly writer: RepositoryWriter; readonly after: Position; readonly clock: Pick<Clock, 'nowMs'> },
  run: Run,
): Promise<LogBlock> {
  const { writer, after, clock } = options;
  const { leaves, packs, end } = await writer.storeObservation(observation, run);
  const atMs = clock.nowMs();
  const removed = observation.removed.map((name): StoredChange => ({ name, removed: true }));
  const changes = [...removed, ...leaves];
  const builder = new PayloadBuilder();
  builder.piece({ changes, commit: { position: end.cut, atMs } });
  assertRecordable(builder.sizeBytes);
  const pieces = builder.takePieces();
  return { pieces, after, upTo: end.cut, fromMs: atMs, toMs: atMs, changes: changes.length, packs };
}
