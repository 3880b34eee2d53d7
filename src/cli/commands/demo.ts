import { hostname } from 'node:os';
import { workerEngines } from '../../app/engines.ts';
import type { Streamed } from '../../app/results.ts';
import { createDemo } from '../../demo/demo.ts';
import type { StoryLine } from '../../demo/demo.ts';
import { closing } from '../application.ts';
import type { Command } from '../command.ts';
import { formatDuration, formatSize } from '../format.ts';
import { packageVersion } from '../package-version.ts';
import type { Printer } from '../printer.ts';
import type { demoSpec } from '../table/setting-up.ts';

type DemoResult = { readonly folder: string; readonly kept: boolean; readonly story: Streamed<StoryLine> };

export const demo: Command<typeof demoSpec, DemoResult> = {
  async run(context, _args, { keep }) {
    const setup = {
      runtime: await context.runtime(),
      host: hostname(),
      processId: process.pid,
      userId: context.environment.userId ?? -1,
      tool: `tidemark ${await packageVersion()}`,
      engines: workerEngines(context.options.workers),
      warn: context.warn,
      parent: context.environment.temporaryFolder,
      keep,
      sizeText: formatSize,
    };
    const made = createDemo(setup, context.run);
    return { result: { folder: made.folder, kept: keep, story: closing(made.story, made) } };
  },
  async print({ folder, kept, story }, printer) {
    printer.line(printer.paint('bold', 'Tidemark: two backups, a loss, a restore'));
    printer.line(printer.paint('dim', `All of it happens in ${folder}, with a passphrase of its own.`));
    for await (const batch of story) {
      for (const line of batch) printStory(line, printer);
      await printer.drained();
    }
    printer.line();
    if (kept) printKept(folder, printer);
    else printer.line(printer.paint('dim', `${folder} is removed; with --keep it stays, to look around in it.`));
    printer.line(
      'Now yours: `tidemark init` in a folder writes a manifest to fill in; `tidemark --help` lists the rest.',
    );
  },
};

function printStory(line: StoryLine, printer: Printer): void {
  switch (line.kind) {
    case 'event':
      printer.line();
      printer.line(line.text);
      return;
    case 'note':
      printer.line(`    ${line.text}`);
      return;
    case 'command':
      printer.line(`  ${printer.paint('dim', '$')} ${printer.paint('cyan', line.text)}`);
      return;
    case 'outcome':
      printer.line(`    ${line.text}  ${printer.paint('dim', formatDuration(line.tookMs))}`);
      return;
  }
  line satisfies never;
}

function printKept(folder: string, printer: Printer): void {
  printer.line('To look around:');
  printer.line(`  ${printer.paint('cyan', `export TIDEMARK_PASSPHRASE_FILE=${folder}/passphrase`)}`);
  printer.line(`  ${printer.paint('cyan', `tidemark ls tuesday uploads --repository ${folder}/backups`)}`);
}
