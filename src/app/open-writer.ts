import type { Run } from '../core/run.ts';
import type { RepositoryAccess } from '../repository/access.ts';
import { RepositoryWriter } from '../repository/writer.ts';
import type { OpenApplication } from './application.ts';

/** Begins a writing session. `inPlace`: without threads of their own, for what is little. @throws as `RepositoryWriter.open` */
export async function openWriter(
  application: OpenApplication,
  access: RepositoryAccess,
  options: { readonly command: string; readonly dryRun: boolean; readonly inPlace: boolean },
  run: Run,
): Promise<RepositoryWriter> {
  const { engines } = application.context;
  const sizes = application.header.chunks;
  const { command, dryRun, inPlace } = options;
  return await RepositoryWriter.open(
    {
      access,
      info: application.sessionInfo(command),
      stateFolder: application.stateFolder,
      dryRun,
      remembered: await application.rememberedHeads(run),
      openEngine: (keys) => (inPlace ? engines.openRetryEngine({ keys, sizes }) : engines.openEngine({ keys, sizes })),
      openRetryEngine: (keys) => engines.openRetryEngine({ keys, sizes }),
      uploads: engines.uploads,
    },
    run,
  );
}
