import { TidemarkError } from '../../core/errors.ts';
import { PATH_MAX_BYTES } from '../../io/native.ts';
import { byteText, lossyText, parentOf } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';
import { isAsideName } from './patterns.ts';

/** A name that may be restored: it continues `parent`, the name of a folder, by one component. */
export type CheckedName = { readonly name: ByteText; readonly parent: ByteText; readonly component: ByteText };

/**
 * Refuses every sequence of names that could lead out of a tree or hide one entry behind another: the root comes first, names ascend,
 * each continues a folder that came before by one plain component. A base that fails was not made by this connector.
 */
export class EntryNames {
  #previous: ByteText | undefined;
  /** Names of the folders that lead to the place where the sequence is. */
  readonly #folders: ByteText[] = [];

  /** @throws PATH_ESCAPES or REPOSITORY_DAMAGED */
  take(bytes: Uint8Array, isFolder: boolean): CheckedName {
    const name = byteText(bytes);
    if (this.#previous === undefined) {
      if (name !== '' || !isFolder) {
        throw new TidemarkError('REPOSITORY_DAMAGED', 'the base does not begin with the folder itself');
      }
    } else if (name <= this.#previous) {
      throw new TidemarkError('REPOSITORY_DAMAGED', `the base has ${shown(name)} out of order`);
    }
    this.#previous = name;
    const checked = { name, parent: parentOf(name), component: componentOf(name) };
    if (name !== '') this.#check(checked);
    if (isFolder) this.#folders.push(name);
    return checked;
  }

  #check({ name, parent }: CheckedName): void {
    assertPlain(name);
    while (this.#folders.length > 0 && this.#folders.at(-1) !== parent) this.#folders.pop();
    if (this.#folders.length === 0) {
      throw new TidemarkError('PATH_ESCAPES', `the base has ${shown(name)}, but not the folder that holds it`);
    }
  }
}

/** @throws PATH_ESCAPES for what no name of anything in a folder ends in */
export function assertPlain(name: ByteText): void {
  const component = componentOf(name);
  if (
    component === '' ||
    component === '.' ||
    component === '..' ||
    component.includes('/') ||
    isAsideName(component)
  ) {
    throw new TidemarkError('PATH_ESCAPES', `the base names ${shown(name)}, which is no place inside the folder`);
  }
  if (name.length >= PATH_MAX_BYTES) {
    throw new TidemarkError('PATH_ESCAPES', `the base has a name of ${name.length} bytes`);
  }
}

function componentOf(name: ByteText): ByteText {
  return name.slice(name.lastIndexOf('\0') + 1);
}

function shown(name: ByteText): string {
  return JSON.stringify(lossyText(name.slice(0, 200)).replaceAll('\0', ' / '));
}
