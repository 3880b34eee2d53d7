import { isAlias, isCollection, isMap, isPair, isScalar, LineCounter, parseDocument } from 'yaml';
import type { Document, Node, Pair, YAMLError, YAMLMap } from 'yaml';
import { excerpt, quoted } from '../core/printable.ts';
import type { KeyPath } from '../core/option-schema.ts';
import { keyText, ManifestError } from './mistakes.ts';
import type { Mistake, Place } from './mistakes.ts';

/** Where the keys and values of a manifest are written. */
export interface Places {
  /** Of the key, or of the nearest one above it that is written. */
  key(path: KeyPath): Place;
  /** Of the value, or of the nearest one above it that is written. */
  value(path: KeyPath): Place;
}

/**
 * `value` is made of objects, none with the key __proto__, lists, text, numbers, true, false and null; and of undefined where a value was
 * refused, whose key is in `unread` and whose mistake is in `mistakes`.
 */
export type ManifestTree = {
  readonly value: unknown;
  readonly places: Places;
  readonly mistakes: readonly Mistake[];
  readonly unread: ReadonlySet<string>;
};

const MOST_LEVELS = 16;
const MOST_NODES = 20_000;
const MOST_SYNTAX_MISTAKES = 10;

/**
 * The plain tree that a manifest's text stands for. Anchors, tags and directives are refused, so that the text says what it means
 * and can't grow when it is read. @throws CONFIG_INVALID when the text is not YAML
 */
export function readManifestTree(text: string, file: string): ManifestTree {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
    logLevel: 'error',
    version: '1.2',
  });
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const syntax = syntaxMistakes(document, file, placeAt);
  if (syntax.length > 0) throw new ManifestError(syntax);
  return new TreeReader(file, placeAt).read(document.contents);
}

class TreeReader {
  readonly #file: string;
  readonly #placeAt: (offset: number) => Place;
  readonly #keys = new Map<string, Place>();
  readonly #values = new Map<string, Place>();
  readonly #mistakes: Mistake[] = [];
  readonly #unread = new Set<string>();
  #nodes = 0;

  constructor(file: string, placeAt: (offset: number) => Place) {
    this.#file = file;
    this.#placeAt = placeAt;
  }

  read(contents: Node | null): ManifestTree {
    const value = this.#node(contents, []);
    return {
      value,
      places: { key: (path) => nearestPlace(this.#keys, path), value: (path) => nearestPlace(this.#values, path) },
      mistakes: this.#mistakes,
      unread: this.#unread,
    };
  }

  #node(node: unknown, path: KeyPath): unknown {
    this.#nodes += 1;
    if (path.length > MOST_LEVELS || this.#nodes > MOST_NODES) {
      const message = path.length > MOST_LEVELS ? 'nested too deeply' : 'too many values';
      throw new ManifestError([{ file: this.#file, place: this.#place(node), message }]);
    }
    if (node === null || node === undefined) return null;
    const place = this.#place(node);
    if (place !== undefined) this.#values.set(JSON.stringify(path), place);
    if (isAlias(node)) {
      return this.#leaveOut(path, node, 'an alias (*) is not allowed; write the value out, or in quotes');
    }
    if (isCollection(node) || isScalar(node)) {
      if (node.anchor !== undefined) {
        this.#refuse(path, node, 'an anchor (&) is not allowed; write the value out, or in quotes');
      }
      if (node.tag !== undefined) this.#refuse(path, node, 'a tag (!) is not allowed');
    }
    if (isMap(node)) return this.#map(node, path);
    if (isCollection(node)) return node.items.map((item: unknown, index) => this.#node(item, [...path, index]));
    return isScalar(node) ? this.#scalar(node.value, node, path) : this.#leaveOut(path, node, 'not understood');
  }

  #map(map: YAMLMap, path: KeyPath): unknown {
    const value: Record<string, unknown> = {};
    for (const pair of map.items) {
      const key = this.#key(pair, path);
      if (key === undefined) continue;
      const inner = [...path, key];
      const first = this.#keys.get(JSON.stringify(inner));
      if (first !== undefined) {
        this.#refuse(inner, pair.key, `written twice; the first is in line ${first.line}`);
        continue;
      }
      const place = this.#place(pair.key);
      if (place !== undefined) this.#keys.set(JSON.stringify(inner), place);
      value[key] = this.#node(pair.value, inner);
    }
    return value;
  }

  #key(pair: Pair, path: KeyPath): string | undefined {
    const { key } = pair;
    if (!isPair(pair) || !isScalar(key) || key.tag !== undefined || key.anchor !== undefined) {
      this.#refuse(path, key, 'a key must be a plain word');
      return undefined;
    }
    const text = typeof key.value === 'string' ? key.value : (key.source ?? '');
    if (text === '<<') {
      this.#refuse(path, key, 'a merge (<<) is not allowed; write the keys out');
      return undefined;
    }
    if (text === '' || text === '__proto__' || text.includes('\0') || !text.isWellFormed()) {
      this.#refuse(path, key, `${quoted(text)} can’t be a key`);
      return undefined;
    }
    return text;
  }

  #scalar(value: unknown, node: unknown, path: KeyPath): unknown {
    if (typeof value !== 'string') return value;
    if (value.includes('\0') || !value.isWellFormed()) {
      this.#refuse(path, node, 'the text holds a character that no value may hold');
    }
    return value;
  }

  #leaveOut(path: KeyPath, node: unknown, message: string): undefined {
    this.#unread.add(keyText(path));
    this.#refuse(path, node, message);
  }

  #refuse(path: KeyPath, node: unknown, message: string): void {
    this.#mistakes.push({ file: this.#file, place: this.#place(node), key: keyText(path), message });
  }

  #place(node: unknown): Place | undefined {
    if (!isAlias(node) && !isCollection(node) && !isScalar(node)) return undefined;
    return node.range === null || node.range === undefined ? undefined : this.#placeAt(node.range[0]);
  }
}

function nearestPlace(places: ReadonlyMap<string, Place>, path: KeyPath): Place {
  for (let length = path.length; length >= 0; length -= 1) {
    const place = places.get(JSON.stringify(path.slice(0, length)));
    if (place !== undefined) return place;
  }
  return { line: 1, column: 1 };
}

function syntaxMistakes(document: Document, file: string, placeAt: (offset: number) => Place): readonly Mistake[] {
  const tooDeep = document.errors.find((error) => error.code === 'RESOURCE_EXHAUSTION');
  if (tooDeep !== undefined) return [{ file, place: placeAt(tooDeep.pos[0]), message: 'nested too deeply' }];
  if (document.directives?.yaml.explicit === true || Object.keys(document.directives?.tags ?? {}).length > 1) {
    return [{ file, place: { line: 1, column: 1 }, message: 'a directive (%) is not allowed' }];
  }
  const byLine = new Map<number, Mistake>();
  for (const error of document.errors) {
    const place = placeAt(error.pos[0]);
    // One slip often makes the parser stumble several times in its line: the first tells it best.
    if (!byLine.has(place.line)) byLine.set(place.line, { file, place, message: syntaxMessage(error) });
    if (byLine.size >= MOST_SYNTAX_MISTAKES) break;
  }
  return [...byLine.values()];
}

function syntaxMessage(error: YAMLError): string {
  switch (error.code) {
    case 'TAB_AS_INDENT':
      return 'a tab can’t indent; use spaces';
    case 'BAD_ALIAS':
      return 'a value that begins with * must be in quotes';
    case 'BAD_SCALAR_START':
      return 'a value that begins with this character must be in quotes';
    case 'MULTIPLE_DOCS':
      return 'a second document (---) begins here; a manifest is one';
    case 'BLOCK_AS_IMPLICIT_KEY':
      return 'a second colon in one line; put the value in quotes, or begin a new line';
    case 'MULTILINE_IMPLICIT_KEY':
      return 'expected a colon and a value in this line';
    default:
      return excerpt(error.message, 120).replace(/^[A-Z](?=[a-z])/, (letter) => letter.toLowerCase());
  }
}
