import { mkdirSync, linkSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { SeededRandom } from '../flow/random.ts';
import { setTimes } from '../io/native-time.ts';

const WORDS =
  'anchor basin beacon berth bollard bow buoy cargo chart compass current deck dock drift ebb estuary ferry fleet harbour hull keel knot ledger lighthouse log mast moor mooring pier pilot port quay reef rope rudder sail shoal sextant spar stern tide tideline vessel wake watch wharf'.split(
    ' ',
  );
const YEARS = ['2024', '2025', '2026'];
const MONTHS = ['01', '02', '03', '04', '05', '06', '07', '08', '09', '10', '11', '12'];
const INVOICES_A_MONTH = 40;
const PICTURES = 500;
const PAGES = 900;
const MAIL_LINES = 60_000;

/** Some three thousand files as a small shop has them: text that compresses, pictures that don't, one large mailbox, links. */
export function makeShopFiles(root: string, random: SeededRandom): void {
  mkdirSync(root);
  const files = random.fork('files');
  for (const year of YEARS) {
    for (const month of MONTHS) {
      for (let number = 1; number <= INVOICES_A_MONTH; number++) {
        writeShopFile(join(root, 'invoices', year, month, `${number}.txt`), invoice(files, 40), files);
      }
    }
  }
  for (let number = 0; number < PAGES; number++) {
    const path = join(root, 'pages', files.pick(WORDS), `${files.pick(WORDS)}-${number}.html`);
    writeShopFile(path, invoice(files, 60 + files.integer(300)), files);
  }
  for (let number = 0; number < PICTURES; number++) {
    const path = join(root, 'pictures', files.pick(YEARS), `photo-${number}.jpg`);
    writeShopFile(path, files.bytes(8_000 + files.integer(90_000)), files);
  }
  writeShopFile(join(root, 'mail', 'inbox.mbox'), invoice(files, MAIL_LINES), files);
  writeShopFile(join(root, 'pages', 'größe und maß.html'), invoice(files, 20), files);
  symlinkSync('inbox.mbox', join(root, 'mail', 'current'));
  linkSync(join(root, 'pictures', '2026', lastPicture(root)), join(root, 'pages', 'title.jpg'));
}

function lastPicture(root: string): string {
  const name = 'cover.jpg';
  writeFileSync(join(root, 'pictures', '2026', name), Buffer.alloc(20_000, 'picture '));
  return name;
}

/** Creates the folders above it, and gives it a time to the nanosecond. */
export function writeShopFile(path: string, content: Uint8Array, random: SeededRandom): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content, { mode: random.chance(0.1) ? 0o600 : 0o644 });
  const seconds = 1_700_000_000 + random.integer(60_000_000);
  setTimes(Buffer.from(path), { mtimeNs: BigInt(seconds) * 1_000_000_000n + BigInt(random.integer(1_000_000_000)) });
}

export function invoice(random: SeededRandom, lines: number): Uint8Array {
  const text: string[] = [];
  for (let line = 0; line < lines; line++) {
    const words = Array.from({ length: 4 + random.integer(8) }, () => random.pick(WORDS));
    text.push(`${words.join(' ')} ${random.integer(100_000) / 100}`);
  }
  return Buffer.from(`${text.join('\n')}\n`);
}
