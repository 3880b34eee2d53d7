import { childOf } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';

/** `self`: hinted at itself; else it only leads there. `children`: by component. */
type Node = { self: boolean; children: Map<ByteText, Node> | undefined };

/** More than these, and a scan of everything costs less than to remember them: about 40 MB. */
const MOST = 200_000;

function emptyNode(): Node {
  return { self: false, children: undefined };
}

/** Names to be looked at, because something may have happened to them. Bounded: beyond that `isFull`, and what is added is not kept. */
export class Hints {
  readonly #root = emptyNode();
  #count = 0;

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  get isFull(): boolean {
    return this.#count >= MOST;
  }

  add(name: ByteText): void {
    if (this.isFull) return;
    let node = this.#root;
    if (name !== '') {
      for (let start = 0; start >= 0; ) {
        const end = name.indexOf('\0', start);
        const component = name.slice(start, end < 0 ? undefined : end);
        node.children ??= new Map();
        let child = node.children.get(component);
        if (child === undefined) {
          child = emptyNode();
          node.children.set(component, child);
        }
        node = child;
        start = end < 0 ? -1 : end + 1;
      }
    }
    if (!node.self) this.#count++;
    node.self = true;
  }

  has(name: ByteText): boolean {
    return this.#find(name)?.self === true;
  }

  /** Components of a folder that were hinted at, or lead to what was, ascending. */
  below(name: ByteText): readonly ByteText[] {
    return [...(this.#find(name)?.children?.keys() ?? [])].sort(byText);
  }

  /** Takes over all that the other one has. */
  addAll(other: Hints): void {
    const visit = (node: Node, name: ByteText): void => {
      if (node.self) this.add(name);
      for (const [component, child] of node.children ?? []) visit(child, childOf(name, component));
    };
    visit(other.#root, '');
  }

  #find(name: ByteText): Node | undefined {
    let node: Node | undefined = this.#root;
    for (let start = 0; node !== undefined && name !== ''; ) {
      const end = name.indexOf('\0', start);
      node = node.children?.get(name.slice(start, end < 0 ? undefined : end));
      if (end < 0) return node;
      start = end + 1;
    }
    return node;
  }
}

function byText(left: ByteText, right: ByteText): number {
  return left < right ? -1 : 1;
}
