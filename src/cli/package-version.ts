import { readFile } from 'node:fs/promises';
import { packageFile } from './package-files.ts';

/** The version of this package. */
export async function packageVersion(): Promise<string> {
  const text = await readFile(packageFile('package.json'), 'utf8');
  const { version } = JSON.parse(text) as { readonly version: string };
  return version;
}
