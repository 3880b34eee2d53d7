import type { Writable } from 'node:stream';
import type { Run } from '../core/run.ts';

/** Resolves when a stream that was full takes more again, when it has closed, or when the run aborts: which of them, its owner knows. */
export async function untilDrained(stream: Writable, { signal }: Run): Promise<void> {
  if (signal.aborted || stream.closed || !stream.writableNeedDrain) return;
  const left = Promise.withResolvers<void>();
  const leave = (): void => left.resolve();
  stream.once('drain', leave);
  stream.once('close', leave);
  signal.addEventListener('abort', leave, { once: true });
  await left.promise;
  stream.off('drain', leave);
  stream.off('close', leave);
  signal.removeEventListener('abort', leave);
}
