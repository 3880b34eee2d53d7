import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Runtime, Run } from '../../../core/run.ts';
import { replaceFile } from '../../../io/atomic-file.ts';

/**
 * What is durable of bringing SQL into a server. `loading`: begun, what is there is not whole; `loaded`: done. `turn` counts the undos, one that has
 * begun included. `hadNothing`: what was kept at that turn is only how to remove what was brought.
 */
export type LoadState = {
  readonly phase: 'verified' | 'loading' | 'loaded';
  readonly turn: number;
  readonly hadNothing?: boolean | undefined;
};

/** The files of a restore into a server, in the folder that is its own. */
export class LoadFolder {
  readonly path: string;
  readonly #runtime: Runtime;

  constructor(path: string, runtime: Runtime) {
    this.path = path;
    this.#runtime = runtime;
  }

  async make(): Promise<void> {
    await mkdir(this.path, { recursive: true, mode: 0o700 });
  }

  /** What the restore brings. */
  get restored(): string {
    return join(this.path, 'restored.sql');
  }

  /** What was there before the restore, or before an undo. */
  kept(turn: number): string {
    return join(this.path, `kept-${turn}.sql`);
  }

  /** What a turn loads: the restore itself, or what was kept at the turn before. */
  source(turn: number): string {
    return turn === 0 ? this.restored : this.kept(turn - 1);
  }

  state(): LoadState | undefined {
    const path = join(this.path, 'state.json');
    if (!existsSync(path)) return undefined;
    return JSON.parse(readFileSync(path, 'utf8')) as LoadState; // only `note` writes it
  }

  async note(state: LoadState, run: Run): Promise<LoadState> {
    const path = join(this.path, 'state.json');
    await replaceFile(path, [Buffer.from(JSON.stringify(state))], { mode: 0o600, random: this.#runtime.random }, run);
    return state;
  }
}
