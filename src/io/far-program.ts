import { TidemarkError } from '../core/errors.ts';

/**
 * How a program is started at the far end of a prefix such as `ssh host` or `kubectl exec -i pod --`. All that the prefix is given is
 * one word, `sh`, so that it makes no difference whether it hands arguments on as they are or joins them for a shell of any kind. The
 * program's name, arguments and variables follow on that shell's standard input, as text that it reads only whole. Then it says that it is
 * ready and becomes the program: what is sent from then on is the program's own input.
 */
export type FarProgram = {
  readonly arguments: readonly string[];
  readonly opening: Uint8Array;
};

const WORDS_OF_READY = ['tidemark-', 'ready'] as const;
const READY = Buffer.from(`${WORDS_OF_READY.join('')}\n`);
/** What a shell's start files say before is not the program's output. */
const MAX_NOISE_BYTES = 64 * 1024;

/** @throws FAILED when a word can't be handed to any program */
export function farProgram(command: readonly string[], variables: Readonly<Record<string, string>>): FarProgram {
  const names = Object.keys(variables);
  const assignments = names.map((name) => `${name}=${quote(variables[name] ?? '')}; export ${name}; `);
  // In two pieces, for what echoes its input must not look ready.
  const ready = `printf '%s%s\\n' ${WORDS_OF_READY.join(' ')}`;
  const script = `{ ${assignments.join('')}${ready} >&2; ${ready}; exec ${command.map(quote).join(' ')}; }\n`;
  return { arguments: ['sh'], opening: Buffer.from(script) };
}

function quote(word: string): string {
  if (word.includes('\0')) throw new TidemarkError('FAILED', 'a word for a program holds a zero byte');
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/** Waits in a stream of output for the word that the far shell is ready. */
export class ReadyWord {
  #before: Buffer = Buffer.alloc(0);

  /** What follows the word, once it has come. */
  take(piece: Uint8Array): Uint8Array | undefined {
    this.#before = Buffer.concat([this.#before, piece]);
    const place = this.#before.indexOf(READY);
    if (place >= 0) return this.#before.subarray(place + READY.byteLength);
    if (this.#before.byteLength > MAX_NOISE_BYTES) {
      throw new TidemarkError('FAILED', 'what was started does not become a shell: it writes something else');
    }
    return undefined;
  }
}

/** What the program itself said on standard error; all that was said where it never began. */
export function afterReady(complaint: Buffer): Buffer {
  const place = complaint.indexOf(READY);
  return place < 0 ? complaint : complaint.subarray(place + READY.byteLength);
}
