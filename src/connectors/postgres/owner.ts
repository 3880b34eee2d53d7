import { chownSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { TidemarkError } from '../../core/errors.ts';

export type Owner = { readonly uid: number; readonly gid: number };

/** Writes a file of the data directory. */
export function putOwned(path: string, content: string | Uint8Array, owner: Owner): void {
  writeFileSync(path, content, { mode: 0o600 });
  chownSync(path, owner.uid, owner.gid);
}

/**
 * Who is to own a data directory: the server runs as that user and refuses any other, and root altogether.
 * @throws RESTORE_CONFLICT when it would be root, or nobody whom this user can give files to
 */
export function chooseOwner(wanted: string | undefined, existing: string | undefined): Owner {
  const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const found = wanted === undefined ? presentOwner(existing, own) : namedOwner(wanted);
  if (found.uid === 0) {
    throw new TidemarkError(
      'RESTORE_CONFLICT',
      'PostgreSQL does not run as root: a data directory needs another owner',
      {
        hint: 'Name one by the option owner of the store, or run as the user whom the server runs as.',
      },
    );
  }
  if (own.uid !== 0 && own.uid !== found.uid) {
    throw new TidemarkError(
      'RESTORE_CONFLICT',
      `this user can’t give files to the user ${found.uid}, whom the server runs as`,
      {
        hint: 'Run as that user, or as root.',
      },
    );
  }
  return found;
}

function presentOwner(existing: string | undefined, own: Owner): Owner {
  if (existing !== undefined) {
    const { uid, gid } = statSync(existing);
    return { uid, gid };
  }
  return own.uid === 0 ? namedOwner('postgres') : own;
}

function namedOwner(text: string): Owner {
  const [, uid, gid] = /^([0-9]+):([0-9]+)$/.exec(text) ?? [];
  if (uid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name, , userId, groupId] = line.split(':');
    if (name === text) return { uid: Number(userId), gid: Number(groupId) };
  }
  throw new TidemarkError('RESTORE_CONFLICT', `this host has no user ${text} to own the data directory`, {
    hint: 'Name the owner by the option owner of the store.',
  });
}
