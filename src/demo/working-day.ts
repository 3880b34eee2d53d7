import { appendFileSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SeededRandom } from '../flow/random.ts';
import { invoice, writeShopFile } from './shop-files.ts';

const EDITED = 40;
const ADDED = 25;
const REMOVED = 10;
const DAMAGED = 300;

export type DayChanges = { readonly edited: number; readonly added: number; readonly removed: number };

/** What a day of work changes. The mailbox grows at its end, which should cost what was added and no more. */
export function workOneDay(root: string, random: SeededRandom): DayChanges {
  const pages = filesIn(root, 'pages').filter((path) => path.endsWith('.html'));
  for (const path of random.shuffle(pages).slice(0, EDITED)) {
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace('\n', `\nchanged ${random.integer(1_000_000)}\n`));
  }
  for (let number = 0; number < ADDED; number++) {
    writeShopFile(join(root, 'pictures', 'new', `photo-${number}.jpg`), random.bytes(20_000), random);
  }
  for (const path of random.shuffle(filesIn(root, 'invoices')).slice(0, REMOVED)) rmSync(path);
  appendFileSync(join(root, 'mail', 'inbox.mbox'), invoice(random, 500));
  renameSync(join(root, 'invoices', '2024'), join(root, 'invoices', 'archive-2024'));
  return { edited: EDITED + 1, added: ADDED, removed: REMOVED };
}

/** Overwrites files with garbage, as a failing disk or a blackmailer does, and deletes a folder. */
export function damageFiles(
  root: string,
  random: SeededRandom,
): { readonly damaged: number; readonly deleted: string } {
  const files = random.shuffle([...filesIn(root, 'pages'), ...filesIn(root, 'pictures')]).slice(0, DAMAGED);
  for (const path of files) writeFileSync(path, random.bytes(2_000));
  rmSync(join(root, 'invoices', '2026'), { recursive: true });
  return { damaged: files.length, deleted: 'invoices/2026' };
}

function filesIn(root: string, folder: string): readonly string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}
