import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { ExtractRestorer, undoExtract } from '../../../src/connectors/postgres/extract/restorer.ts';
import { parseWanted } from '../../../src/connectors/postgres/extract/wanted.ts';
import { positionOf } from '../../../src/connectors/postgres/lsn.ts';
import { parseServerUrl } from '../../../src/connectors/postgres/place.ts';
import type { PostgresPlace } from '../../../src/connectors/postgres/place.ts';
import { must } from '../../../src/core/must.ts';
import { startPostgres } from '../../servers/postgres.ts';
import type { PostgresServer } from '../../servers/postgres.ts';
import { flush, insertPosition, LINEAGE, logOf, run, runtime, takeBase } from './fixture.ts';
import type { TakenBase } from './fixture.ts';
import { SETTINGS, sharedFolder } from './restore-fixture.ts';

export function placeOf({ port }: PostgresServer, database: string): PostgresPlace {
  const options = { from: 'primary', strategy: 'physical' } as unknown as PostgresPlace['options']; // the others have no say here
  const url = parseServerUrl(`//postgres@127.0.0.1:${port}/${database}`);
  return { ...url, password: async () => undefined, via: [], options };
}

type Extract = {
  readonly server: PostgresServer;
  readonly taken: TakenBase;
  readonly lsn: bigint;
  readonly only: string;
  readonly workFolder: string;
  readonly replace?: boolean;
  readonly binFolder?: string;
};

export async function extract({
  server,
  taken,
  lsn,
  only,
  workFolder,
  replace = false,
  binFolder,
}: Extract): Promise<void> {
  const wanted = parseWanted([only], 'shop')[0];
  assert.ok(wanted);
  const context = { runtime, id: 'r1', workFolder, replace };
  const options = { server: placeOf(server, 'shop'), settings: { ...SETTINGS, binFolder }, wanted, users: [] };
  await using restorer = new ExtractRestorer(options, context);
  await restorer.restoreBase(taken.base, run);
  await restorer.rollForward(
    logOf(server, { from: taken.start, to: lsn }),
    positionOf({ timeline: 1, lsn }, LINEAGE),
    run,
  );
  await restorer.verify(run);
  await restorer.swap(run);
  await restorer.swap(run);
  assert.ok(!existsSync(`${workFolder}/server`));
}

/** A server with a database `shop`, and a base of it. */
export async function shop(tables: string) {
  const server = await startPostgres({ settings: { wal_keep_size: '4GB' } });
  await server.query('CREATE ROLE seller');
  await server.query('CREATE DATABASE shop OWNER seller');
  await server.query(tables, 'shop');
  const folder = sharedFolder();
  const taken = await takeBase(server, folder.at('base'));
  const lsn = await insertPosition(server);
  await flush(server);
  const undo = async (name: string, only: string, turn = 1): Promise<void> => {
    const wanted = must(parseWanted([only], 'shop')[0], 'what is wanted');
    const context = { runtime, id: 'r1', workFolder: folder.at(name), turn };
    await undoExtract(placeOf(server, 'shop'), wanted, context, run);
  };
  return { server, folder, undo, of: { server, taken, lsn } };
}
