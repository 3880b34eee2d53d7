import type { KeyResult, KeysChangeResult, KeysListResult } from '../../app/results.ts';
import { printable } from '../../core/printable.ts';
import type { Command } from '../command.ts';
import type { CommandContext } from '../context.ts';
import type { keysAddSpec, keysListSpec, keysRemoveSpec } from '../table/keeping.ts';
import { TidemarkError } from '../../core/errors.ts';
import { addKey, findKey, listKeys, removeKey } from '../../app/maintain.ts';
import type { Secret } from '../../io/secret.ts';
import { openApplication } from '../application.ts';

export const keysList: Command<typeof keysListSpec, KeysListResult> = {
  async run(context) {
    await using application = await openApplication(context);
    return { result: await listKeys(application, context.run) };
  },
  print({ keys }, printer) {
    printer.table(
      [{ title: 'key' }, { title: 'name' }, { title: 'kind' }, { title: 'role' }, { title: 'since' }],
      keys.map(({ id, name = '', kind, role = '', createdAt }) => [
        id,
        printable(name),
        kind,
        role,
        createdAt === undefined ? '' : printer.time(createdAt),
      ]),
    );
  },
};

export const keysAdd: Command<typeof keysAddSpec, KeysChangeResult> = {
  async run(context, { name }, { newPassphraseFile }) {
    await using application = await openApplication(context);
    const passphrase = (): Promise<Secret> => context.furtherPassphrase(newPassphraseFile);
    return { result: { key: await addKey(application, { passphrase, role: 'all', name }, context.run) } };
  },
  isReport: () => true,
  print: ({ key }, printer) => printer.line(`added ${keyText(key)}`),
};

export const keysRemove: Command<typeof keysRemoveSpec, KeysChangeResult> = {
  async run(context, { key: named }, { yes }) {
    await using application = await openApplication(context);
    const key = await findKey(application, named, context.run);
    if (!yes) await confirmRemoval(context, key);
    await removeKey(application, key, context.run);
    return { result: { key } };
  },
  isReport: () => true,
  print: ({ key }, printer) => printer.line(`removed ${keyText(key)}`),
};

/** @throws USAGE where nobody can answer, INTERRUPTED when the answer is no */
async function confirmRemoval(context: CommandContext, key: KeyResult): Promise<void> {
  if (!context.prompter.available) {
    throw new TidemarkError(
      'USAGE',
      `it would remove the passphrase ${keyText(key)}, and there is no terminal to ask`,
      {
        hint: 'Add --yes when that is meant.',
      },
    );
  }
  if (await context.prompter.confirm(`Remove the passphrase ${keyText(key)}?`, context.run)) return;
  throw new TidemarkError('INTERRUPTED', 'nothing was removed', { hint: 'Answer y to go on, or give --yes.' });
}

function keyText({ id, name, kind, role }: KeyResult): string {
  return name === undefined ? `${id}: ${kind}` : `${printable(name)} (${id}): ${kind}, ${role}`;
}
