import { basename, join } from 'node:path';
import type { RestoreRequest } from '../app/restore-plan.ts';
import type { Configuration } from '../config/configuration.ts';
import { TidemarkError } from '../core/errors.ts';
import type { CommandContext } from './context.ts';

/** What `plan` and `restore` are asked to do. @throws USAGE without a target */
export async function restoreRequest(
  context: CommandContext,
  stores: readonly string[],
  options: {
    readonly to: string | undefined;
    readonly into: readonly string[];
    readonly only: readonly string[];
    readonly replace: readonly string[];
    readonly perStore: boolean;
    readonly standby: boolean;
    readonly skipDamaged?: boolean | undefined;
  },
): Promise<RestoreRequest> {
  const { to, into, only, replace, perStore, standby, skipDamaged = false } = options;
  if (to === undefined) {
    throw new TidemarkError('USAGE', 'what to restore to is missing', {
      hint: 'Write --to latest, --to MARK or --to TIME.',
    });
  }
  const follow = standby ? followFrom(context, (await context.repository()).configuration) : undefined;
  return { target: to, stores, into, only, replace, perStore, skipDamaged, follow };
}

/**
 * How a server calls this command line for its log. It does so as its own user, long after, so nobody can type anything.
 * @throws USAGE where the manifest does not say where the passphrase is
 */
function followFrom(
  { program, environment }: CommandContext,
  configuration: Configuration | undefined,
): NonNullable<RestoreRequest['follow']> {
  if (configuration?.repository.passphrase === undefined) {
    throw new TidemarkError('USAGE', 'a standby reads the repository by itself, and can’t ask for the passphrase', {
      hint: 'Say in a manifest where it is, with repository.passphraseFile; the server’s user has to be able to read both.',
    });
  }
  const { folder, file } = configuration.origin;
  const manifest = join(folder, basename(file));
  // A server may be started with next to nothing in its environment.
  const stateHome = environment.variables['XDG_STATE_HOME'];
  const within = stateHome === undefined ? [] : ['env', `XDG_STATE_HOME=${stateHome}`];
  return (store, lineage) => [...within, ...program, '-f', manifest, '--quiet', 'log-file', store, lineage, '%f', '%p'];
}
