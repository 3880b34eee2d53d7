import type { InitResult } from '../../app/results.ts';
import { printable } from '../../core/printable.ts';
import type { Command } from '../command.ts';
import type { Printer } from '../printer.ts';
import type { initSpec } from '../table/setting-up.ts';
import { access } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { initRepository } from '../../app/init.ts';
import { fileURLToPath } from 'node:url';
import { fromSystem, systemCode, TidemarkError } from '../../core/errors.ts';
import type { Secret } from '../../io/secret.ts';
import { appContext } from '../application.ts';
import type { CommandContext } from '../context.ts';
import { packageFile } from '../package-files.ts';
import { DEFAULT_MANIFEST } from '../read-configuration.ts';

/** Where editors find what a manifest may say: the schema that is installed with this package. */
const SCHEMA_URL = packageFile('schema/tidemark.schema.json').href;
/** Restores without Tidemark. */
const KIT_PATH = fileURLToPath(packageFile('kit/tidemark-kit.mjs'));

export const init: Command<typeof initSpec, InitResult> = {
  async run(context) {
    const manifest = resolve(context.workingFolder, context.options.file ?? DEFAULT_MANIFEST);
    if (context.options.repository === undefined && !(await isThere(manifest))) {
      return { result: { created: false, manifest: await writeManifest(context, manifest) } };
    }
    const firstPassphrase = async (): Promise<Secret> => {
      if ((await context.knownPassphrase()) === undefined && context.prompter.available) context.show(printStakes);
      return await context.firstPassphrase();
    };
    return { result: await initRepository(await appContext(context), { firstPassphrase }, context.run) };
  },
  isReport: () => true,
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

function printStakes(printer: Printer): void {
  printer.line('Choose the passphrase of the new repository. Everything is encrypted with it:');
  printer.line(printer.paint('yellow', 'without the passphrase all backups are lost, and nobody can help.'));
}

function printRecoverySheet(repository: NonNullable<InitResult['repository']>, printer: Printer): void {
  const url = printable(repository.url);
  const word = shellWord(repository.url);
  printer.line(`Created the repository ${url}`);
  printer.line();
  printer.line(printer.paint('bold', 'Recovery sheet: print it and keep it away from this machine'));
  printer.line(`  repository   ${url}`);
  printer.line(`  id           ${repository.id}`);
  printer.line(`  head         ${repository.headFingerprint}`);
  printer.line('  passphrase   ____________________________________');
  printer.line(`  restore      tidemark restore --repository ${word} --to latest --into FOLDER`);
  printer.line('  without it   the recovery kit is one file that needs nothing but Node 24; keep a copy of it:');
  printer.line(`               ${printable(KIT_PATH)}`);
  printer.line(`               node tidemark-kit.mjs restore ${word} latest FOLDER`);
  printer.line();
  printer.line(
    printer.paint('yellow', 'Without the passphrase everything is lost: nobody can open the repository then.'),
  );
}

/** As a shell takes it: in quotes where it has to be. */
function shellWord(text: string): string {
  return /^[A-Za-z0-9_.,:/@%+=-]+$/.test(text) ? text : `'${printable(text).replaceAll("'", "'\\''")}'`;
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    const code = systemCode(error);
    // What can't even be looked at is told of when it is read or written.
    if (code === undefined) throw error;
    return code !== 'ENOENT' && code !== 'ENOTDIR';
  }
}

function unwritten(error: unknown, path: string): unknown {
  const code = systemCode(error);
  if (code === undefined) return error;
  const message = `${path} can’t be written`;
  const reason = UNWRITABLE[code];
  if (reason === undefined) return fromSystem(error, 'FAILED', message);
  return new TidemarkError('USAGE', `${message}: ${reason}`, {
    hint: 'Name a manifest in a folder that exists and that this user may write to: -f FILE.',
    cause: error,
  });
}

const UNWRITABLE: Readonly<Record<string, string>> = {
  EACCES: 'this user may not write there',
  EPERM: 'this user may not write there',
  EROFS: 'the file system is read-only',
  ENOENT: 'its folder is not there',
  ENOTDIR: 'a file is where its folder should be',
};

async function writeManifest(context: CommandContext, path: string): Promise<string> {
  const { startingManifest } = await import('../../config/starting-manifest.ts');
  const { createFile } = await import('../../io/atomic-file.ts');
  const { random } = await context.runtime();
  const text = startingManifest(dirname(path), SCHEMA_URL);
  try {
    await createFile(path, [Buffer.from(text)], { mode: 0o644, random }, context.run);
  } catch (error) {
    throw unwritten(error, path);
  }
  return path;
}
