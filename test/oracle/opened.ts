import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import process from 'node:process';
import { OpenApplication } from '../../src/app/application.ts';
import type { AppContext } from '../../src/app/application.ts';
import { workerEngines } from '../../src/app/engines.ts';
import { readManifestFile } from '../../src/config/manifest-file.ts';
import { parseManifest } from '../../src/config/parse-manifest.ts';
import type { Clock, Run } from '../../src/core/run.ts';
import { createSystemClock } from '../../src/flow/clock.ts';
import { Secret } from '../../src/io/secret.ts';
import { PASSPHRASE } from '../e2e/shop.ts';
import type { Shop } from '../e2e/shop.ts';

export const run: Run = { signal: new AbortController().signal };

/** The application of a shop, opened in this process as the command line does. */
export async function openShopApplication(shop: Shop, clock: Clock = createSystemClock()): Promise<OpenApplication> {
  const { text, origin } = await readManifestFile(shop.at('tidemark.yaml'), 'tidemark.yaml', run);
  const secret = async (): Promise<Secret> => new Secret(PASSPHRASE);
  const context: AppContext = {
    runtime: {
      clock,
      random: (sizeBytes) => new Uint8Array(randomBytes(sizeBytes)),
      logger: { log: () => undefined },
      temporaryFolder: shop.folder.path,
    },
    repositoryUrl: shop.at('backups'),
    configuration: await parseManifest(text, origin),
    limits: { uploadBytesPerSecond: undefined, downloadBytesPerSecond: undefined, workers: undefined },
    stateOwner: {
      environment: { ...process.env, XDG_STATE_HOME: shop.at('state') },
      userId: process.geteuid?.() ?? -1,
    },
    host: hostname(),
    processId: process.pid,
    tool: 'tidemark test',
    workingFolder: shop.folder.path,
    progress: { report: () => undefined },
    warn: () => undefined,
    passphrase: secret,
    knownPassphrase: secret,
    engines: workerEngines(undefined),
  };
  return await OpenApplication.open(context, run);
}
