export const GENERATED =
  '<!-- Generated from the code by scripts/generate-docs.ts. Change the code and run npm run docs. -->\n';

/** A row of a table; a bar in a cell would end it. */
export function row(...cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
}
