import type { Skipped } from '../../../core/recorder.ts';

/** The server's function that leaves out of a base what is neither a file nor a folder. It says so in its own language. */
const LEAVES_OUT = 'sendDir';
/** Everything that the server itself has is in such a folder, and needed. */
const OWN = /^(?:base|global|pg_[a-z_]+)(?:\/|$)/;
const SOCKET = /^\.s\.PGSQL\.[0-9]+$/;

/** What a notice of the server says is not in the base; undefined where it says nothing of that, or tells of its own sockets. */
export function skippedFile(message: string, routine: string): Skipped | undefined {
  if (routine !== LEAVES_OUT) return undefined;
  const [, path = message] = /\.\/(.*)["'»«”“’›]/s.exec(message) ?? [];
  if (SOCKET.test(path)) return undefined;
  const told = 'the server leaves it out, as it does with links and all else that is neither a file nor a folder';
  return { name: Buffer.from(path), reason: 'special', incomplete: OWN.test(path), message: told };
}
