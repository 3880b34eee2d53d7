/** Wrote the golden repository of version 1: `node test/golden/make-v1.ts FOLDER`. What lies in `v1/` is never written again. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { makeGoldenShop } from './golden-shop.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('it takes a folder');
await using shop = await makeGoldenShop('golden v1');
mkdirSync(folder, { recursive: true });
shop.export(join(folder, 'repository'));
writeFileSync(join(folder, 'marks.json'), `${JSON.stringify(Object.fromEntries(shop.moments), undefined, 2)}\n`);
