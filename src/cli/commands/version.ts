import type { VersionResult } from '../../app/results.ts';
import type { Command } from '../command.ts';
import { packageVersion } from '../package-version.ts';
import type { versionSpec } from '../table/setting-up.ts';

export const version: Command<typeof versionSpec, VersionResult> = {
  async run() {
    const { process } = globalThis;
    return {
      result: {
        version: await packageVersion(),
        node: process.version,
        platform: `${process.platform}-${process.arch}`,
      },
    };
  },
  print(result, printer) {
    printer.line(`tidemark ${result.version}`);
    printer.line(`node ${result.node} on ${result.platform}`);
  },
};
