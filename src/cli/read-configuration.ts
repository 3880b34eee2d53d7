import { resolve } from 'node:path';
import type { Configuration } from '../config/configuration.ts';
import { readManifestFile } from '../config/manifest-file.ts';
import { parseManifest } from '../config/parse-manifest.ts';
import type { CliProcess } from './session.ts';

/** Looked for in the working folder. */
export const DEFAULT_MANIFEST = 'tidemark.yaml';

/** The manifest that `-f` names, else the one in the working folder. @throws CONFIG_NOT_FOUND, CONFIG_INVALID */
export async function readConfiguration(
  file: string | undefined,
  { workingFolder, run }: CliProcess,
): Promise<Configuration> {
  const shown = file ?? DEFAULT_MANIFEST;
  const { text, origin } = await readManifestFile(resolve(workingFolder, shown), shown, run);
  return await parseManifest(text, origin);
}
