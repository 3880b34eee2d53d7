import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { manifestJsonSchema } from './reference/manifest-schema.ts';
import { commandsPage } from './reference/commands-page.ts';
import { errorsPage } from './reference/errors-page.ts';
import { manifestPage } from './reference/manifest-page.ts';

/**
 * Writes the reference pages and the manifest's JSON Schema from the code. With `--check` it writes nothing and fails when one of
 * them is not what the code says.
 */

const root = new URL('../', import.meta.url);

async function currentText(file: URL): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

const schema = await manifestJsonSchema();
const pages: readonly (readonly [string, string])[] = [
  ['schema/tidemark.schema.json', `${JSON.stringify(schema, null, 2)}\n`],
  ['docs/reference/manifest.md', manifestPage(schema)],
  ['docs/reference/commands.md', commandsPage()],
  ['docs/reference/errors.md', errorsPage()],
];

const stale: string[] = [];
for (const [path, text] of pages) {
  const file = new URL(path, root);
  if ((await currentText(file)) === text) continue;
  stale.push(relative(process.cwd(), fileURLToPath(file)));
  if (process.argv.includes('--check')) continue;
  await mkdir(dirname(fileURLToPath(file)), { recursive: true });
  await writeFile(file, text);
}

if (process.argv.includes('--check') && stale.length > 0) {
  console.error(`not what the code says: ${stale.join(', ')}; run npm run docs`);
  process.exitCode = 1;
} else {
  console.log(stale.length === 0 ? 'the reference is what the code says' : `written: ${stale.join(', ')}`);
}
