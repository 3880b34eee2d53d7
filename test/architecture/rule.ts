import type { Source } from './source.ts';

/** A rule's breach: where, and one sentence on what to do. */
export type Breach = {
  readonly path: string;
  readonly line: number;
  /** The function, import or file that breaks the rule, to name in an exception. */
  readonly subject: string;
  readonly message: string;
};

export type Rule = (sources: readonly Source[]) => Iterable<Breach>;

/** A place where a rule does not hold, and why that is right. */
export type Exception = {
  readonly rule: Rule;
  readonly path: string;
  readonly subject: string;
  readonly reason: string;
};

export function isTest(path: string): boolean {
  return path.endsWith('.test.ts');
}

/** Product code: what is published, without the tests beside it. */
export function isProduct({ path }: Source): boolean {
  return path.startsWith('src/') && !isTest(path);
}

/** A file that a thread or process starts with. */
export function isEntry(path: string): boolean {
  return path === 'src/cli/main.ts' || path.endsWith('worker.ts');
}
