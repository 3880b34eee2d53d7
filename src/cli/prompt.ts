import { TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';

/** The terminal, as far as questions need it. */
export interface TerminalInput {
  readonly isTTY?: boolean | undefined;
  setRawMode?(raw: boolean): unknown;
  resume(): unknown;
  pause(): unknown;
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
  on(event: 'end', listener: () => void): unknown;
  off(event: 'data', listener: (chunk: Buffer) => void): unknown;
  off(event: 'end', listener: () => void): unknown;
}

export interface Prompter {
  /** Whether there is anyone to ask. */
  readonly available: boolean;
  /** What was typed, without showing it. @throws INTERRUPTED on Ctrl-C or at the end of the input */
  hidden(question: string, run: Run): Promise<string>;
  /** Whether the answer was yes; anything else is no. */
  confirm(question: string, run: Run): Promise<boolean>;
}

const ENTER = new Set([0x0d, 0x0a]);
const INTERRUPT = 0x03;
const END = 0x04;
const ERASE_LINE = 0x15;
const ESCAPE = 0x1b;
const DELETE = 0x7f;
const ERASE = new Set([0x08, DELETE]);
const MOST_BYTES = 64 * 1024;

/** Questions go to standard error, so that standard output stays what was asked for. */
export function createPrompter(
  input: TerminalInput,
  output: { readonly isTerminal: boolean; write(text: string | Uint8Array): void },
): Prompter {
  const ask = async (question: string, hide: boolean, run: Run): Promise<string> => {
    try {
      return await readLine(input, { question, show: (text) => output.write(text), hide }, run);
    } finally {
      output.write('\n');
    }
  };
  return {
    available: input.isTTY === true && input.setRawMode !== undefined && output.isTerminal,
    hidden: (question, run) => ask(question, true, run),
    confirm: async (question, run) => /^(?:y|yes)$/i.test((await ask(`${question} [y/N] `, false, run)).trim()),
  };
}

/** One line in raw mode, in which Ctrl-C arrives as a character. */
async function readLine(
  input: TerminalInput,
  { question, show, hide }: { readonly question: string; readonly show: Echo; readonly hide: boolean },
  run: Run,
): Promise<string> {
  run.signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const editor = createLineEditor(hide ? () => undefined : show);
  // Who does not answer knows what to do.
  const onEnd = (): void => reject(new TidemarkError('INTERRUPTED', 'interrupted', { hint: '' }));
  const onAbort = (): void => reject(run.signal.reason);
  const onData = (chunk: Buffer): void => {
    const end = editor.type(chunk);
    if (end === 'line') resolve(editor.text());
    if (end === 'interrupt') onEnd();
  };
  // Before the question: what is typed in answer to it must not be shown by the terminal itself.
  input.setRawMode?.(true);
  show(question);
  input.on('data', onData);
  input.on('end', onEnd);
  run.signal.addEventListener('abort', onAbort, { once: true });
  input.resume();
  try {
    return await promise;
  } finally {
    run.signal.removeEventListener('abort', onAbort);
    input.off('data', onData);
    input.off('end', onEnd);
    input.setRawMode?.(false);
    input.pause();
  }
}

type Echo = (text: string | Uint8Array) => void;

function createLineEditor(echo: Echo): { type(chunk: Uint8Array): 'line' | 'interrupt' | undefined; text(): string } {
  let typed: number[] = [];
  const erase = (): void => {
    typed = withoutLastCharacter(typed);
    echo('\b \b');
  };
  return {
    text: () => Buffer.from(typed).toString('utf8'),
    type(chunk) {
      for (const byte of chunk) {
        if (ENTER.has(byte)) return 'line';
        if (byte === INTERRUPT || byte === END) return 'interrupt';
        // An arrow or function key: the rest of what came with it is not text.
        if (byte === ESCAPE) return undefined;
        if (byte === ERASE_LINE) while (typed.length > 0) erase();
        else if (ERASE.has(byte) && typed.length > 0) erase();
        else if (byte >= 0x20 && byte !== DELETE && typed.length < MOST_BYTES) {
          typed.push(byte);
          echo(Uint8Array.of(byte));
        }
      }
      return undefined;
    },
  };
}

/** A character may be several bytes, of which those after the first begin with the bits 10. */
function withoutLastCharacter(typed: readonly number[]): number[] {
  return typed.slice(
    0,
    Math.max(
      typed.findLastIndex((byte) => (byte & 0xc0) !== 0x80),
      0,
    ),
  );
}
