import { argumentsOf, commandName } from './command-reader.ts';
import type { CommandBatch } from './command-reader.ts';

const [STAR, C, M, S] = [0x2a, 0x43, 0x4d, 0x53];

/** The highest number of a database that commands name; -1 for none. A server that has fewer does not refuse all of them when it loads its own file. */
export function highestDatabase({ bytes, starts }: CommandBatch): number {
  let highest = -1;
  for (const start of starts) {
    // "*2\r\n$6\r\nSELECT" and the like: one digit of arguments and of letters.
    if (bytes[start] !== STAR || bytes[start + 6] !== 0x0d) continue;
    const [letters, first] = [(bytes[start + 5] ?? 0) - 0x30, (bytes[start + 8] ?? 0) & 0xdf];
    if ((letters !== 4 && letters !== 6) || (first !== S && first !== M && first !== C)) continue;
    for (const text of databasesOf(commandName(bytes, start), argumentsOf(bytes, start))) {
      highest = Math.max(highest, Number(text?.toString('latin1') ?? -1));
    }
  }
  return highest;
}

function databasesOf(name: string, args: readonly Buffer[]): readonly (Buffer | undefined)[] {
  switch (name) {
    case 'SELECT':
      return [args[1]];
    case 'MOVE':
      return [args[2]];
    case 'SWAPDB':
      return [args[1], args[2]];
    case 'COPY': {
      const option = args.findIndex((arg, index) => index >= 3 && arg.toString('latin1').toUpperCase() === 'DB');
      return option < 0 ? [] : [args[option + 1]];
    }
    default:
      return [];
  }
}
