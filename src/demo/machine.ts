import { readManifestFile } from '../config/manifest-file.ts';
import { parseManifest } from '../config/parse-manifest.ts';
import type { Configuration } from '../config/configuration.ts';
import type { AppContext } from '../app/application.ts';
import type { Run } from '../core/run.ts';
import type { Environment } from '../io/program.ts';
import { Secret } from '../io/secret.ts';

/** What a command line would give for one machine of the story, and the passphrase that its people know. */
export type MachineSetup = Pick<AppContext, 'runtime' | 'host' | 'processId' | 'tool' | 'engines' | 'warn'> & {
  readonly userId: number;
  readonly environment: Environment;
  readonly passphrase: string;
};

/** What a command works with on a machine where `folder` is the working folder. Its state lies in `folder/.state`. */
export async function machineAt(folder: string, setup: MachineSetup, run: Run): Promise<AppContext> {
  const { userId, environment, passphrase, ...shared } = setup;
  const configuration = await readConfiguration(folder, run);
  const secret = new Secret(passphrase);
  return {
    ...shared,
    repositoryUrl: configuration.repository.url,
    configuration,
    limits: { uploadBytesPerSecond: undefined, downloadBytesPerSecond: undefined, workers: undefined },
    stateOwner: { environment: { PATH: environment['PATH'], XDG_STATE_HOME: `${folder}/.state` }, userId },
    workingFolder: folder,
    progress: { report: () => undefined },
    passphrase: async () => secret,
    knownPassphrase: async () => secret,
  };
}

async function readConfiguration(folder: string, run: Run): Promise<Configuration> {
  const { text, origin } = await readManifestFile(`${folder}/tidemark.yaml`, 'tidemark.yaml', run);
  return await parseManifest(text, origin);
}
