import { must } from '../../core/must.ts';
import type { Command } from '../command.ts';
import type { completionSpec } from '../table/setting-up.ts';

export const completion: Command<typeof completionSpec, { readonly shell: string; readonly script: string }> = {
  async run(_context, { shell }) {
    const { completionScripts } = await import('../completion-scripts.ts');
    const script = must(
      Object.entries(completionScripts).find(([name]) => name === shell)?.[1],
      'a shell that the parser allows',
    );
    return { result: { shell, script: script() } };
  },
  print({ script }, printer) {
    printer.line(script.trimEnd());
  },
};
