import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Run, Runtime } from '../../src/core/run.ts';
import { createSystemClock } from '../../src/flow/clock.ts';
import type { SeededRandom } from '../../src/flow/random.ts';
import { openLocalObjectStore } from '../../src/objects/local/object-store.ts';
import { openWithPassphrase } from '../../src/repository/access.ts';
import { openShop, PASSPHRASE } from '../e2e/shop.ts';
import type { Shop } from '../e2e/shop.ts';
import type { Contents, Found } from './repository-state.ts';

const MANIFEST = `application: shop
repository: ./backups
stores:
  uploads: files:./data
retention: { window: 1h, last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0 }
`;
/** So small that some kilobytes make several packs. */
const CHUNKS = { minBytes: 512, averageBytes: 2048, maxBytes: 8192, pageBytes: 1024 };
const DAY_S = 86_400;

export const run: Run = { signal: new AbortController().signal };

/** Writes so many files anew. */
export function change(shop: Shop, files: number, random: SeededRandom): void {
  for (let number = 0; number < files; number++) {
    writeFileSync(shop.at('data', `file-${number}`), random.bytes(5000 + random.integer(5000)));
  }
}

export function contentsOf(shop: Shop): Contents {
  const names = readdirSync(shop.at('data'));
  return new Map(names.map((name) => [name, readFileSync(shop.at('data', name))]));
}

/** As if a day had passed for all objects. */
export function age(shop: Shop): void {
  for (const entry of readdirSync(shop.at('backups'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const { mtimeMs } = statSync(path);
    utimesSync(path, mtimeMs / 1000 - DAY_S, mtimeMs / 1000 - DAY_S);
  }
}

/** What somebody finds in the repository who remembers nothing. */
export async function withFound(shop: Shop, work: (found: Found) => Promise<void>): Promise<void> {
  const logger = { log: () => undefined };
  const temporaryFolder = shop.folder.path;
  const runtime: Runtime = { clock: createSystemClock(), random: randomBytes, logger, temporaryFolder };
  await using objects = await openLocalObjectStore({ folder: shop.at('backups'), runtime }, run);
  await work({ access: await openWithPassphrase(objects, PASSPHRASE, runtime, run), remembered: [], run });
}

/** Keeps the last mark only, once marks are days apart. */
export function openSmallShop(): Promise<Shop> {
  return openShop({ manifest: MANIFEST, chunks: CHUNKS });
}
