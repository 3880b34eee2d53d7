import type { Clock, Run } from '../../../core/run.ts';
import type { RedisClient } from '../resp-client.ts';
import { askReplication } from './find-master.ts';
import type { ReplicaLink } from './replica-link.ts';
import type { ReplicationInfo } from './replication-info.ts';

const BACKLOG_STEP_MS = 20;
const BACKLOG_MS = 10_000;

/** Asks for everything, and waits for the id that the server has from then on. */
export async function askFirst(
  link: ReplicaLink,
  { client, clock }: { readonly client: RedisClient; readonly clock: Clock },
  run: Run,
): Promise<ReplicationInfo> {
  await link.ask(undefined, run);
  const untilMs = clock.monotonicMs() + BACKLOG_MS;
  for (;;) {
    const info = await askReplication(client, run);
    if (info.backlog !== undefined) return info;
    if (clock.monotonicMs() > untilMs) return info;
    await clock.sleep(BACKLOG_STEP_MS, run);
  }
}
