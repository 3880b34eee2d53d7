import type { Phase, SimulatedCall } from './simulated-host.ts';
import type { World } from './world.ts';

/** What becomes of a host right before its next such call takes effect, or, unless that is said, right after. */
export type Turn = {
  readonly host: string;
  readonly phase?: Phase;
  readonly matches: (call: SimulatedCall) => boolean;
  readonly happens: () => void;
};

/** Things that happen where an outcome turns, each once. */
export class Turns {
  readonly #turns: Turn[] = [];

  constructor(world: World) {
    world.script = (call, now) => {
      const at = this.#turns.findIndex(
        ({ host, phase = 'after', matches }) => phase === now && host === call.host && matches(call),
      );
      const [turn] = at < 0 ? [] : this.#turns.splice(at, 1);
      turn?.happens();
      return undefined;
    };
  }

  add(turn: Turn): void {
    this.#turns.push(turn);
  }
}

/** The `count`th of the calls that put something into a folder. */
export function nthPut(folder: string, count = 1): Turn['matches'] {
  let left = count;
  return ({ name, keys }) => name === 'create' && keys.some((key) => key.startsWith(`${folder}/`)) && --left === 0;
}
