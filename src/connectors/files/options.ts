import { flag, withDefault } from '../../core/option-schema.ts';
import type { ValuesOf } from '../../core/option-schema.ts';
import { patterns } from '../../core/option-types.ts';

/** What the manifest may say about a store of files, besides its URL and what all stores have. */
export const filesOptions = {
  include: withDefault(
    patterns(),
    [],
    'Patterns in gitignore’s syntax. Only what matches is kept, with the folders that lead there. Empty: everything.',
  ),
  exclude: withDefault(
    patterns(),
    [],
    'Patterns in gitignore’s syntax. What matches is left out, folders with all they hold. Wins over include.',
  ),
  oneFileSystem: withDefault(
    flag(),
    false,
    'Leave out what other file systems mounted inside the folder hold; the mount points stay as empty folders.',
  ),
  cacheDirTag: withDefault(flag(), false, 'Of a folder with a valid CACHEDIR.TAG keep only the tag.'),
};

export type FilesOptions = ValuesOf<typeof filesOptions>;
