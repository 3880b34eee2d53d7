import { parseArgs } from 'node:util';
import { redisMemory, redisRecorder } from './engines/redis-recorder.ts';
import { redisRestore, redisRollForward } from './engines/redis-restore.ts';
import { runScenarios } from './engines/rows.ts';
import { runMain } from './harness/main.ts';

const HELP = `node bench/redis.ts [options]
  --rounds N      (default 7)
  --only ROWS     of recorder, memory, restore and roll-forward, with commas between; may be repeated
  --gigabytes N   of the data set whose memory is looked at (default 4)
  --restored N    gigabytes that are restored (default 0.5)
  --requests N    SETs of a load (default 3000000)
  --commands N    of the log that is rolled forward (default 1000000)
  --no-save       print only
Servers, repositories and data lie in the temporary folder (TMPDIR).`;

async function main(args: readonly string[], signal: AbortSignal): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    allowNegative: true,
    options: {
      rounds: { type: 'string', default: '7' },
      only: { type: 'string', multiple: true },
      gigabytes: { type: 'string', default: '4' },
      restored: { type: 'string', default: '0.5' },
      requests: { type: 'string', default: '3000000' },
      commands: { type: 'string', default: '1000000' },
      save: { type: 'boolean', default: true },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(HELP);
  const scenarios = {
    recorder: redisRecorder(Number(values.requests)),
    memory: redisMemory,
    restore: async (options: Parameters<typeof redisRestore>[0]) =>
      await redisRestore({ ...options, gigabytes: Number(values.restored) }),
    'roll-forward': redisRollForward(Number(values.commands)),
  };
  const only = values.only?.flatMap((list) => list.split(',')) ?? Object.keys(scenarios);
  await runScenarios(
    { name: 'redis', title: 'Redis', scenarios, only, isSaved: values.save },
    { rounds: Number(values.rounds), gigabytes: Number(values.gigabytes), signal },
  );
}

await runMain(main);
