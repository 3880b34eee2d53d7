/** Loaded with `--import` before a test: replaces a text in one source file, as `MUTANT` names it in `mutants.ts`. */
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { MUTANTS } from './mutants.ts';

const name = process.env['MUTANT'] ?? '';
const mutant = MUTANTS[name];
if (mutant === undefined) throw new Error(`no mutant is called ${name}`);
const target = pathToFileURL(join(import.meta.dirname, '..', '..', mutant.file)).href;

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (url !== target) return loaded;
    const { source } = loaded;
    const text = typeof source === 'string' ? source : Buffer.from(source as Uint8Array).toString('utf8');
    const parts = text.split(mutant.from);
    if (parts.length !== 2) throw new Error(`${mutant.file} has ${parts.length - 1} times: ${mutant.from}`);
    return { ...loaded, source: parts.join(mutant.to) };
  },
});
