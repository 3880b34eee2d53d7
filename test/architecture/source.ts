import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path/posix';

import { parseSync, visitorKeys } from 'oxc-parser';

/** How a file refers to another: `type` is gone at run time, `url` starts a thread or reads an asset. */
export type ImportKind = 'static' | 'dynamic' | 'type' | 'url';

export type Import = {
  readonly kind: ImportKind;
  readonly specifier: string;
  /** Path from the root for a relative specifier; the specifier itself for a package. */
  readonly target: string;
  readonly names: readonly string[];
  readonly inlineType: boolean;
  readonly line: number;
};

export type FunctionFact = {
  readonly name: string;
  readonly line: number;
  readonly lines: number;
  readonly parameters: number;
  readonly nesting: number;
};

/** A place in a file with a word for what is there: a node type, `process.env`, `setTimeout()`. */
export type Place = { readonly what: string; readonly line: number };

/** What the rules need to know of one file. */
export type Source = {
  readonly path: string;
  readonly lines: number;
  readonly imports: readonly Import[];
  readonly functions: readonly FunctionFact[];
  readonly syntax: readonly Place[];
  readonly uses: readonly Place[];
  readonly comments: readonly Place[];
  readonly superClasses: readonly Place[];
  readonly exportedNames: readonly Place[];
  /** Whether it does nothing but hand on what others export. */
  readonly onlyReExports: boolean;
};

type Node = { readonly type: string; readonly start: number; readonly end: number } & Readonly<Record<string, unknown>>;
type Found = {
  [Key in 'imports' | 'functions' | 'syntax' | 'uses' | 'superClasses' | 'exportedNames']: Source[Key][number][];
};
type Frame = { readonly parent: Node | undefined; readonly key: string; readonly depth: { now: number; most: number } };
type Context = { readonly path: string; readonly lineOf: (offset: number) => number; readonly found: Found };

const FUNCTIONS = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression']);
const CONTROL = new Set('If For ForIn ForOf While DoWhile Switch Try'.split(' ').map((word) => `${word}Statement`));
const NOTED_SYNTAX = new Set(
  (
    'TSEnumDeclaration TSModuleDeclaration TSParameterProperty TSExportAssignment TSImportEqualsDeclaration Decorator ' +
    'TSAnyKeyword TSNonNullExpression'
  ).split(' '),
);

export function readSource(path: string, text: string): Source {
  const parsed = parseSync(path, text, { lang: 'ts', sourceType: 'module' });
  const [error] = parsed.errors;
  if (error) throw new SyntaxError(`${path}: ${error.message}`);
  const program = parsed.program as unknown as Node;
  const starts = [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)];
  const lineOf = (offset: number): number => countUpTo(starts, offset);
  const found: Found = { imports: [], functions: [], syntax: [], uses: [], superClasses: [], exportedNames: [] };
  visit(program, { parent: undefined, key: '', depth: { now: 0, most: 0 } }, { path, lineOf, found });
  const comments = parsed.comments.map(({ value, start }) => ({ what: value, line: lineOf(start) }));
  const onlyReExports = handsOn(program['body'] as readonly Node[]);
  return { path, lines: starts.length - (text.endsWith('\n') ? 1 : 0), comments, onlyReExports, ...found };
}

/** All TypeScript of the project under `root`. */
export function readProject(root: string): readonly Source[] {
  const paths = globSync('{src,test,bench,scripts}/**/*.ts', { cwd: root, exclude: ['**/node_modules/**'] });
  return paths.sort().map((path) => readSource(path, readFileSync(join(root, path), 'utf8')));
}

function countUpTo(starts: readonly number[], offset: number): number {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((starts[middle] ?? 0) <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value;
}

function visit(node: Node, frame: Frame, context: Context): void {
  note(node, context);
  const depth = FUNCTIONS.has(node.type) ? { now: 0, most: 0 } : frame.depth;
  const isElseIf = node.type === 'IfStatement' && frame.parent?.type === 'IfStatement' && frame.key === 'alternate';
  const nests = CONTROL.has(node.type) && !isElseIf;
  if (nests) depth.most = Math.max(depth.most, ++depth.now);
  for (const key of visitorKeys[node.type] ?? []) {
    const value = node[key];
    for (const child of Array.isArray(value) ? value : [value]) {
      if (isNode(child)) visit(child, { parent: node, key, depth }, context);
    }
  }
  if (nests) depth.now--;
  if (FUNCTIONS.has(node.type)) noteFunction(node, { ...frame, depth }, context);
}

function noteFunction(node: Node, { parent, depth }: Frame, { lineOf, found }: Context): void {
  const name =
    nameOf(node['id']) ?? nameOf(parent?.['id']) ?? nameOf(parent?.['key']) ?? nameOf(parent?.['callee']) ?? '';
  const line = lineOf(node.start);
  const lines = lineOf(node.end) - line + 1;
  found.functions.push({ name, line, lines, parameters: (node['params'] as unknown[]).length, nesting: depth.most });
}

function nameOf(value: unknown): string | undefined {
  if (!isNode(value)) return undefined;
  if (value.type === 'Identifier' || value.type === 'PrivateIdentifier') return String(value['name']);
  return value.type === 'Literal' && typeof value['value'] === 'string' ? value['value'] : undefined;
}

function note(node: Node, context: Context): void {
  const { found, lineOf } = context;
  const line = lineOf(node.start);
  if (NOTED_SYNTAX.has(node.type)) found.syntax.push({ what: node.type, line });
  if (node['definite'] === true) found.syntax.push({ what: 'TSNonNullExpression', line });
  if (isNode(node['superClass'])) found.superClasses.push({ what: nameOf(node['superClass']) ?? '?', line });
  noteUse(node, context);
  noteImport(node, context);
  if (node.type === 'ExportNamedDeclaration' && isNode(node['declaration'])) {
    const declaration = node['declaration'];
    const declared = (declaration['declarations'] as Node[] | undefined) ?? [declaration];
    for (const { id } of declared) found.exportedNames.push({ what: nameOf(id) ?? '', line });
  }
}

function noteUse(node: Node, { found, lineOf }: Context): void {
  const line = lineOf(node.start);
  const use = (what: string): number => found.uses.push({ what, line });
  if (node.type === 'MemberExpression') use(`${nameOf(node['object'])}.${nameOf(node['property'])}`);
  if (node.type === 'CallExpression') use(`${nameOf(node['callee'])}()`);
  if (node.type === 'NewExpression') use(`new ${nameOf(node['callee'])}(${(node['arguments'] as Node[]).length})`);
  if (node.type === 'VariableDeclarator' && isNode(node['id']) && node['id'].type === 'ObjectPattern') {
    const owner = nameOf(node['init']);
    for (const property of node['id']['properties'] as Node[]) use(`${owner}.${nameOf(property['key'])}`);
  }
}

function noteImport(node: Node, { path, found, lineOf }: Context): void {
  const place = importPlace(node);
  if (place === undefined) return;
  const specifiers = (node['specifiers'] as Node[] | undefined) ?? [];
  const isType = (item: Node): boolean => item['importKind'] === 'type' || item['exportKind'] === 'type';
  const relative = place.kind === 'url' || /^\.\.?\//.test(place.specifier);
  found.imports.push({
    ...place,
    kind: isType(node) ? 'type' : place.kind,
    target: relative ? normalize(join(dirname(path), place.specifier)) : place.specifier,
    names: specifiers.map((item) => nameOf(item['imported']) ?? nameOf(item['local']) ?? 'default'),
    inlineType: !isType(node) && specifiers.some(isType),
    line: lineOf(node.start),
  });
}

function importPlace(node: Node): { kind: ImportKind; specifier: string } | undefined {
  const source = startOfText(node['source']);
  if (['ImportDeclaration', 'ExportNamedDeclaration', 'ExportAllDeclaration'].includes(node.type)) {
    return source === undefined ? undefined : { kind: 'static', specifier: source };
  }
  if (node.type === 'ImportExpression') return { kind: 'dynamic', specifier: source ?? '?' };
  if (node.type === 'TSImportType') return { kind: 'type', specifier: source ?? '?' };
  if (node.type !== 'NewExpression' || nameOf(node['callee']) !== 'URL') return undefined;
  const [file, base] = node['arguments'] as (Node | undefined)[];
  const isHere = base?.type === 'MemberExpression' && isNode(base['object']) && base['object'].type === 'MetaProperty';
  const specifier = startOfText(file);
  return isHere && specifier !== undefined ? { kind: 'url', specifier } : undefined;
}

/** The fixed text that an expression begins with: all of a literal, the first part of a template or a sum. */
function startOfText(value: unknown): string | undefined {
  if (!isNode(value)) return undefined;
  if (value.type === 'BinaryExpression') return startOfText(value['left']);
  if (value.type !== 'TemplateLiteral') return nameOf(value);
  const [first] = value['quasis'] as readonly { readonly value: { readonly cooked: string } }[];
  return first?.value.cooked;
}

function handsOn(statements: readonly Node[]): boolean {
  const isExport = ({ type }: Node): boolean => type === 'ExportAllDeclaration' || type === 'ExportNamedDeclaration';
  const declaresNothing = (node: Node): boolean =>
    node.type === 'ImportDeclaration' || (isExport(node) && !isNode(node['declaration']));
  return statements.some(isExport) && statements.every(declaresNothing);
}
