import { hostname } from 'node:os';
import { workerEngines } from '../../app/engines.ts';
import type { Streamed } from '../../app/results.ts';
import { createDemo } from '../../demo/demo.ts';
import type { StoryLine } from '../../demo/demo.ts';
import { closing } from '../application.ts';
import type { Command } from '../command.ts';
import { formatDuration, formatSize } from '../format.ts';
import { markText } from '../mark-text.ts';
import { packageVersion } from '../package-version.ts';
import { printPlan } from '../plan-text.ts';
import type { Printer } from '../printer.ts';
import type { demoSpec } from '../table/setting-up.ts';
import { hanging } from '../text-width.ts';
import { timelineText } from '../timeline-text.ts';

type DemoResult = { readonly folder: string; readonly kept: boolean; readonly story: Streamed<StoryLine> };

const INDENT = '    ';
/** Text is easier to read in lines that are not too long. */
const MOST_COLUMNS = 120;

export const demo: Command<typeof demoSpec, DemoResult> = {
  async run(context, _args, { keep }) {
    const { environment } = context;
    const setup = {
      runtime: await context.runtime(),
      host: hostname(),
      processId: process.pid,
      userId: environment.userId ?? -1,
      environment: environment.variables,
      tool: `tidemark ${await packageVersion()}`,
      engines: workerEngines(context.options.workers),
      warn: context.warn,
      parent: environment.temporaryFolder,
      keep,
      sizeText: formatSize,
      durationText: formatDuration,
    };
    const made = createDemo(setup, context.run);
    return { result: { folder: made.folder, kept: keep, story: closing(made.story, made) } };
  },
  async print({ folder, kept, story }, printer) {
    const page = { ...printer, columns: Math.min(printer.columns, MOST_COLUMNS) };
    printer.line(printer.paint('bold', 'Tidemark: a shop is recorded, spoiled and lost, and comes back to one moment'));
    printText(`All of it happens in ${folder}, with a passphrase of its own.`, '', page);
    for await (const batch of story) {
      for (const line of batch) printStory(line, page);
      await printer.drained();
    }
    printer.line();
    if (kept) printKept(folder, printer);
    else printText(`${folder} is removed; with --keep it stays, to look around in it.`, '', page);
    printText(
      'Now yours: `tidemark init` in a folder writes a manifest to fill in, the same again creates the repository, `tidemark up` records. `tidemark --help` lists the rest.',
      '',
      page,
    );
  },
};

function printStory(line: StoryLine, page: Printer): void {
  switch (line.kind) {
    case 'event':
      page.line();
      printText(line.text, '', page);
      return;
    case 'note':
      printText(line.text, INDENT, page);
      return;
    case 'quote':
      page.line(`${INDENT}${line.text}`);
      return;
    case 'command':
      page.line(`  ${page.paint('dim', '$')} ${page.paint('cyan', line.text)}`);
      return;
    case 'outcome':
      printText(`${line.text} ${page.paint('dim', `(${formatDuration(line.tookMs)})`)}`, INDENT, page);
      return;
    case 'mark':
      page.line(`${INDENT}mark ${markText(line.mark, page)} ${page.paint('dim', `(${formatDuration(line.tookMs)})`)}`);
      return;
    case 'timeline':
      for (const text of timelineText(line.timeline, { ...page, columns: page.columns - INDENT.length })) {
        page.line(`${INDENT}${text}`.trimEnd());
      }
      return;
    case 'plan':
      printPlan(line.plan, { ...page, line: (text = '') => page.line(`${INDENT}${text}`) });
      return;
  }
  line satisfies never;
}

function printText(text: string, indent: string, { columns, line }: Printer): void {
  for (const part of hanging(indent, text, columns)) line(part);
}

function printKept(folder: string, printer: Printer): void {
  printer.line('To look around:');
  printer.line(`  ${printer.paint('cyan', `export TIDEMARK_PASSPHRASE_FILE=${folder}/passphrase`)}`);
  printer.line(`  ${printer.paint('cyan', `export XDG_STATE_HOME=${folder}/shop/.state`)}`);
  printer.line(`  ${printer.paint('cyan', `tidemark marks -f ${folder}/shop/tidemark.yaml`)}`);
}
