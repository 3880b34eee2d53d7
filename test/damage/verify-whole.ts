import { verifyRepository } from '../../src/repository/verify.ts';
import type { VerifyReport } from '../../src/repository/verify.ts';
import { checkInPlace } from '../../src/repository/verify/check-in-place.ts';
import type { World } from './world.ts';

/** As a host does that knows the passphrase and remembers heads. */
export async function verifyWhole({ fixture }: World, share: number): Promise<VerifyReport> {
  const access = await fixture.open();
  return verifyRepository(
    {
      access,
      remembered: fixture.remembered,
      share,
      random: fixture.runtime.random,
      openChecker: async () => checkInPlace(access),
      decoderOf: async () => undefined,
      onProgress: () => undefined,
    },
    fixture.run,
  );
}
