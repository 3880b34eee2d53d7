import { basename } from 'node:path';

/** What `tidemark init` writes where there is no manifest. `folder` is where it will lie; `schemaUrl` is for editors. */
export function startingManifest(folder: string, schemaUrl: string): string {
  return `# yaml-language-server: $schema=${schemaUrl}
# What Tidemark backs up, and where to. \`tidemark config check\` says whether it is right.

application: ${applicationName(folder)}

# The folder of the backups, best on another disk. \`tidemark init\` creates it.
repository:
  url: ./backups
  # Who loses the passphrase loses the backups. Without this line it is asked for.
  # passphraseFile: /etc/tidemark/passphrase

# What belongs together: each store has a name, a kind and a place. Paths start at this file's folder.
stores:
  # uploads: files:./data/uploads
`;
}

/** A valid application name that is as near to the folder's as can be. */
export function applicationName(folder: string): string {
  // By way of capitals, which turn a letter such as ß into two that are known.
  const plain = basename(folder)
    .toUpperCase()
    .normalize('NFKD')
    .replace(/\p{Mark}/gu, '')
    .toLowerCase();
  const name = plain
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 63)
    .replace(/^-+|-+$/g, '');
  return name === '' ? 'application' : name;
}
