import type { InitResult } from '../../app/results.ts';
import { printable } from '../../core/printable.ts';
import type { Command } from '../command.ts';
import type { Printer } from '../printer.ts';
import type { initSpec } from '../table/setting-up.ts';
import { access } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { initRepository } from '../../app/init.ts';
import { systemCode } from '../../core/errors.ts';
import { appContext } from '../application.ts';
import type { CommandContext } from '../context.ts';
import { DEFAULT_MANIFEST } from '../read-configuration.ts';

/** Where editors find what a manifest may say: the schema that is installed with this package. */
const SCHEMA_URL = new URL('../../../schema/tidemark.schema.json', import.meta.url).href;

export const init: Command<typeof initSpec, InitResult> = {
  async run(context) {
    const manifest = resolve(context.workingFolder, context.options.file ?? DEFAULT_MANIFEST);
    if (context.options.repository === undefined && !(await isThere(manifest))) {
      return { result: { created: false, manifest: await writeManifest(context, manifest) } };
    }
    const firstPassphrase = () => context.firstPassphrase();
    return { result: await initRepository(await appContext(context), { firstPassphrase }, context.run) };
  },
  print({ repository, created, manifest }, printer) {
    if (manifest !== undefined) {
      printer.line(`Wrote ${printable(manifest)}. Name the stores in it, then run \`tidemark init\` again.`);
      return;
    }
    if (repository === undefined) return;
    if (!created) printer.line(`The repository is already there: ${printable(repository.url)}`);
    else printRecoverySheet(repository, printer);
  },
};

function printRecoverySheet(repository: NonNullable<InitResult['repository']>, printer: Printer): void {
  const url = printable(repository.url);
  printer.line(`Created the repository ${url}`);
  printer.line();
  printer.line(printer.paint('bold', 'Recovery sheet: print it and keep it away from this machine'));
  printer.line(`  repository   ${url}`);
  printer.line(`  id           ${repository.id}`);
  printer.line(`  head         ${repository.headFingerprint}`);
  printer.line(`  restore      tidemark restore --repository ${url} --to latest --into .`);
  printer.line(`  without it   node tidemark-kit.mjs restore ${url} --into .`);
  printer.line('  passphrase   ____________________________________');
  printer.line();
  printer.line(
    printer.paint('yellow', 'Without the passphrase everything is lost: nobody can open the repository then.'),
  );
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw error;
  }
}

async function writeManifest(context: CommandContext, path: string): Promise<string> {
  const { startingManifest } = await import('../../config/starting-manifest.ts');
  const { createFile } = await import('../../io/atomic-file.ts');
  const { random } = await context.runtime();
  const text = startingManifest(dirname(path), SCHEMA_URL);
  await createFile(path, [Buffer.from(text)], { mode: 0o644, random }, context.run);
  return path;
}
