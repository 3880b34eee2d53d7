import { parseArgs } from 'node:util';
import { postgresBase, postgresSecondBase } from './engines/postgres-base.ts';
import { postgresIncremental } from './engines/postgres-incremental.ts';
import { postgresRestore } from './engines/postgres-restore.ts';
import { postgresWal } from './engines/postgres-wal.ts';
import { runScenarios } from './engines/rows.ts';
import type { Options, Part } from './engines/rows.ts';
import { runMain } from './harness/main.ts';

const HELP = `node bench/postgres.ts [options]
  --rounds N      (default 7)
  --only ROWS     of base, second-base, incremental, wal and restore, with commas between; may be repeated
  --gigabytes N   of the database whose first base is taken (default 5)
  --second N      gigabytes of the one whose second bases are taken (default 1)
  --log N         gigabytes of log that a restore replays (default 2)
  --seconds N     of a load (default 8)
  --no-save       print only
Servers, repositories and data lie in the temporary folder (TMPDIR).`;

async function main(args: readonly string[], signal: AbortSignal): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    allowNegative: true,
    options: {
      rounds: { type: 'string', default: '7' },
      only: { type: 'string', multiple: true },
      gigabytes: { type: 'string', default: '5' },
      second: { type: 'string', default: '1' },
      log: { type: 'string', default: '2' },
      seconds: { type: 'string', default: '8' },
      save: { type: 'boolean', default: true },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(HELP);
  const scenarios = {
    base: postgresBase,
    'second-base': async (options: Options): Promise<Part> =>
      await postgresSecondBase({ ...options, gigabytes: Number(values.second) }),
    incremental: async (options: Options): Promise<Part> =>
      await postgresIncremental({ ...options, gigabytes: Number(values.second) }),
    wal: postgresWal(Number(values.seconds)),
    restore: async (options: Options): Promise<Part> =>
      await postgresRestore({ ...options, gigabytes: Number(values.log) }),
  };
  const only = values.only?.flatMap((list) => list.split(',')) ?? Object.keys(scenarios);
  await runScenarios(
    { name: 'postgres', title: 'PostgreSQL', scenarios, only, isSaved: values.save },
    { rounds: Number(values.rounds), gigabytes: Number(values.gigabytes), signal },
  );
}

await runMain(main);
