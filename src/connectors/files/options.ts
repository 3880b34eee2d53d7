import * as z from 'zod';

const patterns = z.array(z.string().min(1));

/** What the manifest may say about a store of files, besides its URL and what all stores have. */
export const filesOptions = z.strictObject({
  include: patterns.default([]).meta({
    description:
      'Patterns in gitignore’s syntax. Only what matches is kept, with the folders that lead there. Empty: everything.',
  }),
  exclude: patterns.default([]).meta({
    description:
      'Patterns in gitignore’s syntax. What matches is left out, folders with all they hold. Wins over include.',
  }),
  oneFileSystem: z.boolean().default(false).meta({
    description:
      'Leave out what other file systems mounted inside the folder hold; the mount points stay as empty folders.',
  }),
  cacheDirTag: z.boolean().default(false).meta({
    description: 'Of a folder with a valid CACHEDIR.TAG keep only the tag.',
  }),
});

export type FilesOptions = Readonly<z.infer<typeof filesOptions>>;
