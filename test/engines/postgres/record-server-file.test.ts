import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { compareBytes } from '../../../src/core/bytes.ts';
import { must } from '../../../src/core/must.ts';
import { DataDirectoryRestorer } from '../../../src/connectors/postgres/data-directory-restorer.ts';
import { openPostgresRecorder } from '../../../src/connectors/postgres/recorder.ts';
import { memoryContent, memoryReader, recordInMemory } from '../../../src/testing/tree/memory-base.ts';
import { startPostgres } from '../../servers/postgres.ts';
import { run, runtime } from './fixture.ts';
import { placeOfUrl } from './recording.ts';
import { SETTINGS, sharedFolder } from './restore-fixture.ts';

type Facts = {
  readonly settings: readonly { readonly name: string; readonly setting: string }[];
  readonly hba: readonly unknown[] | null;
  readonly collations: readonly string[];
};

const NAME = 'tidemark/server.json';

test('a base tells what is configured outside of it and what sorts text, and a restore where that is another', {
  timeout: 120_000,
}, async () => {
  await using server = await startPostgres({ settings: { work_mem: '7MB' } });
  await server.query('CREATE ROLE weak LOGIN REPLICATION');
  await using folder = sharedFolder();
  for (const user of ['weak', 'postgres']) {
    const place = placeOfUrl(server.url.replace('postgres@', `${user}@`));
    await using recorder = await openPostgresRecorder(place, { runtime }, run);
    await using open = await recorder.openBase(run);
    const { all, end, find, read } = await recordInMemory(open, run);
    const entry = must(await find(Buffer.from(NAME), run), NAME);
    const bytes = Buffer.concat(await Array.fromAsync(read(must(entry.content, 'its content'), run)));
    const facts = JSON.parse(bytes.toString()) as Facts; // what is looked at here
    const valueOf = (name: string): unknown => facts.settings.find((row) => row.name === name)?.setting;
    assert.equal(valueOf('work_mem'), '7168');
    assert.equal(facts.hba === null, user === 'weak', 'rules are only for who may see them');
    if (user === 'weak') continue;
    assert.ok(String(valueOf('hba_file')).endsWith('pg_hba.conf'));
    assert.ok((facts.hba?.length ?? 0) > 0);
    const others = all.filter((one) => one !== entry);
    for (const [target, collations, wanted] of [
      ['same', facts.collations, 0],
      ['other', ['libc 2.1'], 1],
    ] as const) {
      const told = Buffer.from(JSON.stringify({ ...facts, collations }));
      const entries = [...others, { ...entry, content: memoryContent(told) }];
      const base = memoryReader(entries.sort((left, right) => compareBytes(left.name, right.name)));
      const context = { runtime, id: 'r1' };
      await using restorer = new DataDirectoryRestorer(folder.at(target), SETTINGS, context, []);
      await restorer.restoreBase(base, run);
      await restorer.rollForward({ async *read() {} }, end.cut, run);
      const { notes = [] } = await restorer.verify(run);
      assert.equal(notes.length, wanted, notes.join());
      await restorer.swap(run);
      assert.ok(!existsSync(folder.at(target, 'tidemark')));
    }
  }
});
