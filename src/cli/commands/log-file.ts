import { giveLogFile } from '../../app/log-file.ts';
import { withReader } from '../application.ts';
import type { Command } from '../command.ts';
import { errorText } from '../error-report.ts';
import { DONE } from '../exit-status.ts';
import type { logFileSpec } from '../table/restoring.ts';

/** A server that follows asks again; more than 125 would end it. */
const NOT_THERE = 1;

export const logFile: Command<typeof logFileSpec, { readonly found: boolean }> = {
  async run(context, { store, lineage, name, path }) {
    try {
      const found = await withReader(context, (application, reader) =>
        giveLogFile(application, reader, { store, lineage, name, path }, context.run),
      );
      return { result: { found }, status: found ? DONE : NOT_THERE };
    } catch (error) {
      for (const line of errorText(error)) context.warn(line);
      return { result: { found: false }, status: NOT_THERE };
    }
  },
  print() {},
};
