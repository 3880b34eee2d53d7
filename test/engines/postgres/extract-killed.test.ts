import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openShop, until } from '../../e2e/shop.ts';
import type { Shop } from '../../e2e/shop.ts';
import { needs } from '../../servers/needs.ts';
import { startPostgres } from '../../servers/postgres.ts';
import type { PostgresServer } from '../../servers/postgres.ts';
import { serversBelow } from './restore-fixture.ts';

const SETTINGS = { max_slot_wal_keep_size: '512MB' };

/** Programs of which pg_dump, when it dumps, stands still while there is a file `hold` beside them, and then says which process it is in `held`. */
function makePrograms(folder: string, { binFolder }: PostgresServer): void {
  mkdirSync(folder, { mode: 0o755 });
  for (const name of ['postgres', 'pg_restore', 'psql']) symlinkSync(join(binFolder, name), join(folder, name));
  const [hold, held] = [join(folder, 'hold'), join(folder, 'held')];
  const script = `#!/bin/sh
if [ "$1" != --version ] && [ -e ${hold} ]; then echo $$ > ${held}.new; mv ${held}.new ${held}; exec sleep 600; fi
exec ${join(binFolder, 'pg_dump')} "$@"
`;
  writeFileSync(join(folder, 'pg_dump'), script, { mode: 0o755 });
}

/** Kills a restore of a table while it is taken out of its private server. */
async function killedWhileItDumps(shop: Shop, restore: readonly string[]): Promise<void> {
  const [hold, held] = [shop.at('bin', 'hold'), shop.at('bin', 'held')];
  writeFileSync(hold, '');
  const { child, ended } = shop.start(restore);
  await until('the table is being taken out', () => existsSync(held));
  assert.equal(serversBelow(shop.folder.path) > 0, true);
  child.kill('SIGKILL');
  const dump = Number(readFileSync(held, 'utf8'));
  process.kill(dump, 'SIGKILL');
  await ended;
  for (const file of [hold, held]) rmSync(file);
}

test('a restore of a table that is killed leaves no server, and its next command removes what it left', {
  ...needs('postgres'),
  timeout: 240_000,
}, async () => {
  await using server = await startPostgres({ settings: SETTINGS });
  await server.query('CREATE TABLE orders (n int); INSERT INTO orders VALUES (1), (2)');
  await using shop = await openShop({
    manifest: `application: shop\nrepository: ./backups\nstores:\n  orders: { url: '${server.url}', binFolder: ./bin }\n`,
  });
  chmodSync(shop.folder.path, statSync(shop.folder.path).mode | 0o111);
  makePrograms(shop.at('bin'), server);
  mkdirSync(shop.at('scratch'), { mode: 0o711 });
  const env = { TMPDIR: shop.at('scratch') };
  shop.ok(['backup']);
  await server.query('DELETE FROM orders WHERE n = 2');
  const into = ['--into', `orders=${server.url}`, '--replace', 'orders'];
  const restore = ['restore', 'orders', '--to', 'latest', '--only', 'public.orders', ...into, '--yes'];
  const scratch = (): readonly string[] => [
    ...readdirSync(shop.at('scratch')),
    ...readdirSync(shop.at('state'), { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('/server')),
  ];
  for (const next of ['--discard', '--resume']) {
    await killedWhileItDumps({ ...shop, start: (args) => shop.start(args, { env }) }, restore);
    await until('its server has ended', () => serversBelow(shop.folder.path) === 0);
    assert.notDeepEqual(scratch(), []);
    shop.ok(['restore', next, '--yes'], { env });
    assert.deepEqual(scratch(), []);
  }
  assert.equal(await server.value('SELECT count(*) FROM orders'), '2');
});
