import { randomInt } from 'node:crypto';

export type SeededFixtures<Fixture> = {
  open(): Promise<Fixture>;
  readonly seed?: number | undefined;
};

/** Opens a fresh fixture and verifies one promise with it. Rejects when that is broken, telling the seed. */
export async function runSeeded<Fixture extends AsyncDisposable>(
  { open, seed = randomInt(2 ** 31) }: SeededFixtures<Fixture>,
  verify: (fixture: Fixture, seed: number) => Promise<void>,
): Promise<void> {
  await using fixture = await open();
  try {
    await verify(fixture, seed);
  } catch (cause) {
    throw new Error(`seed ${seed}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
