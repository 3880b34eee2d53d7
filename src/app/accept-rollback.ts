import type { Run } from '../core/run.ts';
import { loadCatalogue } from '../repository/catalogue.ts';
import { openWithAnyKey } from './any-key.ts';
import { OpenApplication } from './application.ts';
import type { AppContext } from './application.ts';
import { lostHeads } from './rollback.ts';

/**
 * Lets this host go on with a repository that has lost what it saw there: from now on it remembers what is there, and only that. `confirm` is told what is
 * gone, and throws to leave all as it is. Nothing is written to the repository. Returns what was gone; where that is nothing, nothing is changed.
 */
export async function acceptRollback(
  context: AppContext,
  confirm: (lost: readonly string[]) => Promise<void>,
  run: Run,
): Promise<readonly string[]> {
  await using application = await OpenApplication.open(context, run);
  const { access } = await openWithAnyKey(application, run);
  const remembered = await application.rememberedHeads(run);
  const lost = lostHeads(await loadCatalogue(access, remembered, run), remembered);
  if (lost.length === 0) return [];
  await confirm(lost);
  const { heads, discontinuities } = await loadCatalogue(access, [], run);
  // A session with a hole would be missed again; `verify` goes on telling of it.
  const broken = new Set(discontinuities.map(({ session }) => session));
  await application.rememberHeads(
    heads.frontier.filter(({ session }) => !broken.has(session)),
    run,
  );
  return lost;
}
