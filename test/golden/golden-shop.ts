import { chmodSync, symlinkSync } from 'node:fs';
import { loadCatalogue } from '../../src/repository/catalogue.ts';
import { forget, setPinned } from '../../src/repository/maintainer.ts';
import { joined, LoggedShop, uploadsIn } from './logged-shop.ts';

const INFO = { application: 'shop', host: 'golden', command: 'maintenance', tool: 'tidemark test' };

/**
 * A repository with everything that the format has: bases exact and fuzzy, marks that name them and marks that stand on logs, segments within their
 * records, apart, and merged, contents of observations, floors, a gap and a new lineage, marks that were forgotten and pinned.
 */
export async function makeGoldenShop(seed: string): Promise<LoggedShop> {
  const shop = await LoggedShop.open(seed);
  await beginWithBases(shop);
  await followLogs(shop);
  await startAnew(shop);
  await maintain(shop);
  return shop;
}

async function beginWithBases(shop: LoggedShop): Promise<void> {
  shop.write('letters/a.txt', 'the first letter');
  shop.write('letters/b.txt', 'the second letter '.repeat(200));
  shop.write('empty', '');
  shop.write('private', 'for one alone');
  chmodSync(shop.folder.at('uploads', 'private'), 0o600);
  chmodSync(shop.folder.at('uploads', 'letters'), 0o750);
  chmodSync(shop.folder.at('uploads'), 0o755);
  symlinkSync('letters/a.txt', shop.folder.at('uploads', 'link'));
  shop.catalog.transaction((transaction) => {
    for (let number = 0; number < 40; number++) transaction.put(`product/${number}`, `price ${number}`);
    transaction.put('description', 'a long description. '.repeat(400));
    transaction.put('empty', '');
    transaction.put('session', 'x', { expiresAtMs: 4_000_000_000_000 });
  });
  await shop.begin();
  const bases = { catalog: (await shop.baseOfCatalog()).key, uploads: (await shop.baseOfUploads()).key };
  await shop.put([], [shop.mark({ name: 'bases', bases })]);
}

async function followLogs(shop: LoggedShop): Promise<void> {
  shop.catalog.put('product/1', 'cheaper');
  shop.catalog.delete('product/2');
  shop.write('letters/c.txt', 'the third letter, and what it says. '.repeat(100));
  shop.remove('empty');
  const first = [
    await shop.logOfCatalog(),
    await shop.observe({ changed: ['', 'letters', 'letters/c.txt'], removed: ['empty'] }),
  ];
  const early = shop.mark({ name: 'inline' });
  await shop.put(first, [shop.mark({ tags: ['forgotten'] }), early]);

  for (let number = 0; number < 60; number++) {
    shop.catalog.put(
      `order/${number}`,
      Buffer.alloc(300, `${number * 7919} `).map((byte, at) => byte ^ (number * at)),
    );
  }
  shop.catalog.put('description', 'a longer description. '.repeat(400));
  const logFrom = shop.uploadsAt;
  shop.write('letters/a.txt', 'the first letter, rewritten');
  shop.write('new/one', 'one');
  const second = [
    await shop.logOfCatalog(),
    await shop.observe({ changed: ['', 'letters', 'letters/a.txt', 'new', 'new/one'] }),
  ];
  const late = shop.mark({ name: 'apart' });
  await shop.put(second, [late]);
  const fuzzy = await shop.baseOfUploads(logFrom);
  await shop.put([], [shop.mark({ name: 'fuzzy', bases: { uploads: fuzzy.key } })]);
  // Joined, as a writer does it after some minutes, with the marks that were in the same records.
  const merged = [0, 1].map((store) => joined([first, second].flatMap((segments) => segments[store] ?? [])));
  await shop.put(merged, [early, late]);
  await shop.end();

  await shop.begin();
  const floors = { uploads: shop.uploadsAt };
  const { 'letters/b.txt': kept = '' } = uploadsIn(shop.folder.at('uploads'));
  shop.catalog.put('letter', 'letters/b.txt');
  shop.remove('letters/b.txt');
  shop.write('new/two', 'two');
  const segments = [
    await shop.logOfCatalog(),
    await shop.observe({ changed: ['', 'letters', 'new', 'new/two'], removed: ['letters/b.txt'] }),
  ];
  const floored = shop.mark({ name: 'floor', tags: ['kept'], floors, kept: { 'letters/b.txt': kept } });
  await shop.fixture.clock.advance(1000);
  const without = shop.mark({ name: 'without-floor', class: 'sealed' });
  await shop.put(segments, [floored, without]);
}

async function startAnew(shop: LoggedShop): Promise<void> {
  await shop.loseUploads();
  shop.write('new/three', 'three');
  await shop.baseOfUploads();
  shop.remove('new/one');
  shop.catalog.delete('letter');
  const segments = [await shop.logOfCatalog(), await shop.observe({ changed: ['', 'new'], removed: ['new/one'] })];
  await shop.put(segments, [shop.mark()]);
  await shop.fixture.clock.advance(3_600_000);
  const missing = { positions: { catalog: shop.catalogAt }, missing: ['uploads'] };
  await shop.put([], [shop.mark({ name: 'partial', ...missing })]);
  shop.catalog.put('last', 'of all');
  const newest = [await shop.logOfCatalog()];
  await shop.put(newest, [shop.mark({ name: 'newest' })]);
  await shop.end();
}

async function maintain({ fixture }: LoggedShop): Promise<void> {
  const { run } = fixture;
  const options = async () => ({
    access: await fixture.maintainerAccess(),
    info: INFO,
    remembered: fixture.remembered,
  });
  const given = await options();
  const catalogue = await loadCatalogue(given.access, fixture.remembered, run);
  const unnamed = catalogue.marks.findLast(({ mark }) => mark.name === undefined)?.mark.id ?? '';
  fixture.remembered = await setPinned({ ...given, catalogue, mark: unnamed, pinned: true }, run);
  const policy = { windowMs: 0, last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0 };
  fixture.remembered = (await forget({ ...(await options()), policy, timezone: 'UTC' }, run)).heads;
}
