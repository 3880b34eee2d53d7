import type { ArgumentsOf, Command, CommandEnd, CommandSpec, OptionsOf } from './command.ts';
import type { CommandContext } from './context.ts';
import type { Printer } from './printer.ts';
import { backupSpec, marksSpec, pinSpec, unpinSpec } from './table/backing-up.ts';
import {
  forgetSpec,
  keysAddSpec,
  keysListSpec,
  keysRemoveSpec,
  runsSpec,
  statsSpec,
  sweepSpec,
  verifySpec,
} from './table/keeping.ts';
import { statusSpec, timelineSpec } from './table/looking.ts';
import { markSpec, upSpec } from './table/running.ts';
import { catSpec, diffSpec, findSpec, logFileSpec, lsSpec, planSpec, restoreSpec } from './table/restoring.ts';
import {
  completionSpec,
  configCheckSpec,
  configSchemaSpec,
  demoSpec,
  doctorSpec,
  initSpec,
  versionSpec,
} from './table/setting-up.ts';

/** Values as the parser took them, by the names of a command's specification. */
export type RawInput = {
  readonly args: Readonly<Record<string, unknown>>;
  readonly options: Readonly<Record<string, unknown>>;
};

/** A command that has run, with its result still to be printed. As `Command` has the rest. */
export type EndedCommand = CommandEnd<object> & {
  readonly isReport: boolean;
  print(printer: Printer): void | Promise<void>;
  printTrouble(printer: Printer): void;
};

export type TableEntry = {
  readonly spec: CommandSpec;
  run(context: CommandContext, input: RawInput): Promise<EndedCommand>;
};

/** Every command, in the order of the help. The file of a command is loaded when it runs. */
export const commandTable: readonly TableEntry[] = [
  entry(initSpec, async () => (await import('./commands/init.ts')).init),
  entry(doctorSpec, async () => (await import('./commands/doctor.ts')).doctor),
  entry(backupSpec, async () => (await import('./commands/backup.ts')).backup),
  entry(upSpec, async () => (await import('./commands/up.ts')).up),
  entry(markSpec, async () => (await import('./commands/mark.ts')).mark),
  entry(marksSpec, async () => (await import('./commands/marks.ts')).marks),
  entry(pinSpec, async () => (await import('./commands/pin.ts')).pin),
  entry(unpinSpec, async () => (await import('./commands/pin.ts')).unpin),
  entry(planSpec, async () => (await import('./commands/plan.ts')).plan),
  entry(restoreSpec, async () => (await import('./commands/restore.ts')).restore),
  entry(logFileSpec, async () => (await import('./commands/log-file.ts')).logFile),
  entry(lsSpec, async () => (await import('./commands/ls.ts')).ls),
  entry(catSpec, async () => (await import('./commands/cat.ts')).cat),
  entry(diffSpec, async () => (await import('./commands/diff.ts')).diff),
  entry(findSpec, async () => (await import('./commands/find.ts')).find),
  entry(statusSpec, async () => (await import('./commands/status.ts')).status),
  entry(timelineSpec, async () => (await import('./commands/timeline.ts')).timeline),
  entry(verifySpec, async () => (await import('./commands/verify.ts')).verify),
  entry(forgetSpec, async () => (await import('./commands/forget.ts')).forget),
  entry(sweepSpec, async () => (await import('./commands/sweep.ts')).sweep),
  entry(statsSpec, async () => (await import('./commands/stats.ts')).stats),
  entry(runsSpec, async () => (await import('./commands/runs.ts')).runs),
  entry(keysListSpec, async () => (await import('./commands/keys.ts')).keysList),
  entry(keysAddSpec, async () => (await import('./commands/keys.ts')).keysAdd),
  entry(keysRemoveSpec, async () => (await import('./commands/keys.ts')).keysRemove),
  entry(configCheckSpec, async () => (await import('./commands/config-check.ts')).configCheck),
  entry(configSchemaSpec, async () => (await import('./commands/config-schema.ts')).configSchema),
  entry(completionSpec, async () => (await import('./commands/completion.ts')).completion),
  entry(demoSpec, async () => (await import('./commands/demo.ts')).demo),
  entry(versionSpec, async () => (await import('./commands/version.ts')).version),
];

/** Commands of later versions: said to be missing instead of unknown. */
export const laterCommands: readonly string[] = ['keys rotate', 'keys export'];

function entry<const Spec extends CommandSpec, Result extends object>(
  spec: Spec,
  load: () => Promise<Command<Spec, Result>>,
): TableEntry {
  return {
    spec,
    async run(context, { args, options }) {
      const command = await load();
      // The parser has built both by this very specification; a value's type follows from its kind there.
      const end = await command.run(context, args as ArgumentsOf<Spec>, options as OptionsOf<Spec['options']>);
      return {
        ...end,
        isReport: command.isReport?.(end.result) ?? false,
        print: (printer) => command.print(end.result, printer),
        printTrouble: (printer) => command.printTrouble?.(end.result, printer),
      };
    },
  };
}
