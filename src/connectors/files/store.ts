import type { FilesOptions } from './options.ts';

/** A store of files as the application opened it: its options and where it is. */
export type FilesStore = FilesOptions & {
  /** Absolute path of the folder, in UTF-8. May be a symbolic link to a folder. */
  readonly folder: string;
  /** Absolute paths of folders that are left out wherever they lie, such as a repository inside the store. */
  readonly excludeFolders: readonly string[];
};
