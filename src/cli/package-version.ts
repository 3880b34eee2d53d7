import { readFile } from 'node:fs/promises';

/** The version of this package, which lies two folders up both from the sources and from what is built of them. */
export async function packageVersion(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { readonly version: string };
  return version;
}
