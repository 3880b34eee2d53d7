import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { findDumper } from './binaries.ts';

test('a pg_dump that is older than the server is none for it', async () => {
  await using folder = temporaryFolder();
  const path = folder.at('pg_dump');
  writeFileSync(path, '#!/bin/sh\necho "pg_dump (PostgreSQL) 40.2 (Debian 40.2-1)"\n');
  chmodSync(path, 0o755);
  assert.equal(await findDumper(41, folder.path), undefined);
  assert.equal(await findDumper(40, folder.path), path);
  assert.equal(await findDumper(39, folder.path), path);
});
