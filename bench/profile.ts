import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { must } from '../src/core/must.ts';
import { generateTree } from './data/generate.ts';
import { STANDARD_TREE } from './data/plan.ts';
import { describeMachine } from './harness/machine.ts';
import { runMain } from './harness/main.ts';
import { measure } from './harness/measure.ts';
import type { Command } from './harness/measure.ts';
import { openMedium } from './harness/medium.ts';
import { saveReport } from './report/report.ts';
import { plainTable, timeText } from './report/text.ts';
import type { Table } from './report/text.ts';
import { TIDEMARK } from './tools/tidemark.ts';

/*
 * Where the time of the large commands goes: V8's sampling profiler on the owner's thread and on the workers, reduced to the functions in
 * which most of it is spent. Native work (compression, hashes, ciphers, system calls) counts for the function that calls it.
 */

const HELP = `node bench/profile.ts [options]
  --no-save    print only`;
const SHOWN = 14;
const IDLE = ['(idle)', '(root)'];

interface CallFrame {
  readonly functionName: string;
  readonly url: string;
}

/** What Node writes with --cpu-prof. */
interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: CallFrame }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface ThreadTimes {
  readonly selfMs: ReadonlyMap<string, number>;
  readonly wallMs: number;
}

function nameOf({ functionName, url }: CallFrame): string {
  const file = url.startsWith('node:') ? url : url.split('/').slice(-2).join('/');
  return [functionName === '' ? '(anonymous)' : functionName, file].filter((part) => part !== '').join(' · ');
}

function timesOf({ nodes, samples, timeDeltas }: CpuProfile): ThreadTimes {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const selfMs = new Map<string, number>();
  let wallMs = 0;
  for (const [at, id] of samples.entries()) {
    const name = must(names.get(id), 'a node of the profile');
    const ms = (timeDeltas[at] ?? 0) / 1_000;
    wallMs += ms;
    selfMs.set(name, (selfMs.get(name) ?? 0) + ms);
  }
  return { selfMs, wallMs };
}

/** The profile that was running longest is the owner's. */
function tableOf(command: string, folder: string): Table {
  const threads = readdirSync(folder)
    // Written by Node itself.
    .map((file) => timesOf(JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile))
    .toSorted((left, right) => right.wallMs - left.wallMs);
  const totals = new Map<string, { owner: number; workers: number }>();
  let busyMs = 0;
  for (const [number, { selfMs }] of threads.entries()) {
    for (const [name, ms] of selfMs) {
      if (IDLE.includes(name)) continue;
      const total = totals.get(name) ?? { owner: 0, workers: 0 };
      total[number === 0 ? 'owner' : 'workers'] += ms;
      totals.set(name, total);
      busyMs += ms;
    }
  }
  const sorted = [...totals].toSorted(([, a], [, b]) => b.owner + b.workers - a.owner - a.workers);
  const share = (ms: number): string => `${((ms * 100) / busyMs).toFixed(1)} %`;
  const row = (name: string, owner: number, workers: number): string[] => [
    name,
    share(owner + workers),
    share(owner),
    share(workers),
  ];
  const rest = sorted.slice(SHOWN);
  const sumOf = (thread: 'owner' | 'workers'): number => rest.reduce((sum, [, total]) => sum + total[thread], 0);
  return {
    title: `${command}: ${timeText(busyMs)} of work in ${threads.length} threads`,
    columns: ['function', 'of all', "owner's thread", 'workers'],
    rows: [
      ...sorted.slice(0, SHOWN).map(([name, { owner, workers }]) => row(name, owner, workers)),
      row(`${rest.length} others`, sumOf('owner'), sumOf('workers')),
    ],
  };
}

async function main(args: readonly string[], signal: AbortSignal): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    allowNegative: true,
    options: { save: { type: 'boolean', default: true }, help: { type: 'boolean', default: false } },
  });
  if (values.help) return console.log(HELP);
  using scratch = openMedium('tmpfs');
  using medium = openMedium('tmpfs');
  const at = (name: string): string => {
    const folder = join(medium.path, name);
    mkdirSync(folder);
    return folder;
  };
  const place = { source: at('source'), home: at('home') };
  generateTree(place.source, STANDARD_TREE);
  TIDEMARK.prepare(place);
  await measure(TIDEMARK.init(place), { signal, scratch: scratch.path });
  const commands: readonly (readonly [string, Command])[] = [
    ['First backup', TIDEMARK.backup(place, 1)],
    ['Backup, nothing changed', TIDEMARK.backup(place, 2)],
    ['Full restore', TIDEMARK.restore(place, 2, at('into'))],
    ['verify --data', TIDEMARK.verify(place)],
  ];
  const tables: Table[] = [];
  for (const [number, [name, command]] of commands.entries()) {
    const folder = at(`profile-${number}`);
    const [node, ...rest] = command.argv;
    const argv = [must(node, 'a program'), '--cpu-prof', `--cpu-prof-dir=${folder}`, ...rest];
    await measure({ ...command, argv }, { signal, scratch: scratch.path });
    tables.push(tableOf(name, folder));
  }
  console.log(tables.map(plainTable).join('\n\n'));
  if (!values.save) return;
  saveReport({
    name: 'profile',
    title: 'Where the time goes',
    notes: [
      'The generated tree, everything in memory (tmpfs), sampled each millisecond: the samplers themselves cost some.',
      'Time on a thread while another one has its core counts, too. Native work counts for the function that calls it: `processChunkSync` is zstd, `writeBuffer` and `read` are system calls, `update` of `crypto/hash` is HMAC-SHA-256.',
    ],
    machine: describeMachine(),
    tables,
    samples: [],
  });
}

await runMain(main);
