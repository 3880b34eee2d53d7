import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../../src/core/must.ts';

/** Of the only repository that a host has seen. `stateHome`: its XDG_STATE_HOME. */
export function stateFolderIn(stateHome: string): string {
  const root = join(stateHome, 'tidemark');
  const ids = readdirSync(root).filter((name) => /^[0-9a-f]{32}$/.test(name));
  return join(root, must(ids[0], 'the state of a repository'));
}
