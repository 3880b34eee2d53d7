import { BORG } from './borg.ts';
import { RESTIC } from './restic.ts';
import { TIDEMARK } from './tidemark.ts';
import type { Tool } from './tool.ts';

export const TOOLS: readonly Tool[] = [TIDEMARK, RESTIC, BORG];

/** What to say when a tool can't be found. */
export function missingText(tool: Tool): string {
  return tool === TIDEMARK ? 'tidemark is not built: npm run build' : `${tool.name} is not installed`;
}

/** @throws Error when no tool has that name. */
export function toolNamed(name: string): Tool {
  const found = TOOLS.find((tool) => tool.name === name);
  if (found === undefined) throw new Error(`no tool ${name}: ${TOOLS.map((tool) => tool.name).join(', ')}`);
  return found;
}
