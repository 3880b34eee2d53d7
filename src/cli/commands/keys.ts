import type { KeyResult, KeysChangeResult, KeysListResult } from '../../app/results.ts';
import { printable } from '../../core/printable.ts';
import type { Command } from '../command.ts';
import type { keysAddSpec, keysListSpec, keysRemoveSpec } from '../table/keeping.ts';
import { notYet } from './not-yet.ts';

export const keysList: Command<typeof keysListSpec, KeysListResult> = {
  async run() {
    return notYet('keys list');
  },
  print({ keys }, printer) {
    printer.table(
      [{ title: 'key' }, { title: 'name' }, { title: 'kind' }, { title: 'role' }, { title: 'since' }],
      keys.map(({ id, name, kind, role, createdAt }) => [id, printable(name), kind, role, printer.time(createdAt)]),
    );
  },
};

export const keysAdd: Command<typeof keysAddSpec, KeysChangeResult> = {
  async run() {
    return notYet('keys add');
  },
  print: ({ key }, printer) => printer.line(`added ${keyText(key)}`),
};

export const keysRemove: Command<typeof keysRemoveSpec, KeysChangeResult> = {
  async run() {
    return notYet('keys remove');
  },
  print: ({ key }, printer) => printer.line(`removed ${keyText(key)}`),
};

function keyText({ id, name, kind, role }: KeyResult): string {
  return `${printable(name)} (${id}): ${kind}, ${role}`;
}
