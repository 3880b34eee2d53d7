import { openRedisRestorer } from '../../../src/connectors/redis/restorer.ts';
import type { RedisPlace } from '../../../src/connectors/redis/place.ts';
import type { RestorerContext } from '../../../src/core/connector.ts';
import type { Position } from '../../../src/core/position.ts';
import type { Restorer } from '../../../src/core/restorer.ts';
import type { RedisServer } from '../../servers/redis.ts';
import { placeOf, runtime } from './captured.ts';
import type { Recording } from './captured.ts';

const run = { signal: new AbortController().signal };

export type RestoreOptions = {
  readonly recording: Recording;
  readonly to: Position;
  readonly workFolder: string;
  readonly expiry?: RedisPlace['expiry'];
  readonly context?: Partial<RestorerContext>;
};

export function contextOf({
  workFolder,
  context,
}: Pick<RestoreOptions, 'workFolder' | 'context'>): RestorerContext & { workFolder: string } {
  return { runtime, id: 'abc', ...context, workFolder };
}

/** A restorer whose stores are written beside and verified: only `swap` is left. */
export async function stage(server: RedisServer, options: RestoreOptions): Promise<Restorer> {
  const { recording, to, expiry } = options;
  const restorer = openRedisRestorer(placeOf(server, expiry), contextOf(options));
  await restorer.restoreBase(recording.base, run);
  await restorer.rollForward?.(recording.log(to), to, run);
  await restorer.verify(run);
  return restorer;
}

/** All of it. */
export async function restore(
  server: RedisServer,
  options: RestoreOptions,
): Promise<{ readonly keptAside?: string | undefined }> {
  await using restorer = await stage(server, options);
  return await restorer.swap(run);
}
