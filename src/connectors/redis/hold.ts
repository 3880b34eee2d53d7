import type { Run, Runtime } from '../../core/run.ts';
import { openCluster } from './cluster/open-cluster.ts';
import { openMaster } from './link/find-master.ts';
import type { RedisPlace } from './place.ts';

/** The server lets go by itself after so long, whatever becomes of us: a little longer than anybody is held. */
const PAUSE_MS = 15_000;
const UNABORTED: Run = { signal: new AbortController().signal };

/** Keeps everybody from writing until it is disposed; keys do not expire meanwhile either. @throws STORE_UNREACHABLE, also where it is not permitted */
export async function holdStore(
  place: RedisPlace,
  { clock }: Pick<Runtime, 'clock'>,
  run: Run,
): Promise<AsyncDisposable> {
  await using opened = new AsyncDisposableStack();
  const cluster = await openCluster(place, { clock }, run);
  const masters = cluster === undefined ? [opened.use((await openMaster(place, clock, run)).client)] : [];
  if (cluster !== undefined) masters.push(...opened.use(cluster).masters.map(({ client }) => client));
  for (const client of masters) {
    await client.call(['CLIENT', 'PAUSE', String(PAUSE_MS), 'WRITE'], run);
    opened.defer(async () => {
      await client.call(['CLIENT', 'UNPAUSE'], UNABORTED);
    });
  }
  return opened.move();
}
