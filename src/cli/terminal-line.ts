import type { OutputStream } from './output-stream.ts';

const ERASE = '\r\u001b[K';

/** Standard error as messages and, on a terminal, one line below them that is written over again and again. */
export interface TerminalLine {
  readonly columns: number;
  show(text: string): void;
  message(text: string): void;
  clear(): void;
}

export function createTerminalLine(stream: OutputStream): TerminalLine {
  let shown = '';
  const clear = (): void => {
    if (shown !== '') stream.write(ERASE);
    shown = '';
  };
  return {
    get columns() {
      return stream.columns;
    },
    show(text) {
      if (!stream.isTerminal) return;
      shown = text;
      stream.write(`${ERASE}${text}`);
    },
    message(text) {
      const below = shown;
      clear();
      stream.write(`${text}\n`);
      if (below !== '') {
        shown = below;
        stream.write(below);
      }
    },
    clear,
  };
}
