import type { Run } from '../core/run.ts';
import type { RepositoryAccess } from '../repository/access.ts';
import { inMaintainerSession } from '../repository/maintainer.ts';
import { verifyRepository } from '../repository/verify.ts';
import type { VerifyReport } from '../repository/verify.ts';
import type { OpenApplication } from './application.ts';
import type { VerifyResult } from './results.ts';

export type VerifyRequest = {
  /** 0: structure alone; 1: every byte. */
  readonly share: number;
};

/** Checks the repository and, when every byte was good, writes down what is proven. Damage is in the result, not thrown. */
export async function verify(application: OpenApplication, request: VerifyRequest, run: Run): Promise<VerifyResult> {
  const access = await application.openAsMaintainer(run);
  const remembered = await application.rememberedHeads(run);
  const { runtime, progress } = application.context;
  const report = await verifyRepository(
    {
      access,
      remembered,
      share: request.share,
      random: runtime.random,
      openChecker: () => application.context.engines.openChecker(access),
      onProgress: ({ packs, totalPacks, bytes }) =>
        progress.report({ phase: 'verifying', entries: packs, totalEntries: totalPacks, bytes }),
    },
    run,
  );
  if (report.damage.length === 0) await writeProofs(application, { access, report, share: request.share }, run);
  const { bases, chunks, bytes, damage } = report;
  return { checked: { bases, segments: 0, chunks, bytes }, damage };
}

async function writeProofs(
  application: OpenApplication,
  options: { access: RepositoryAccess; report: VerifyReport; share: number },
  run: Run,
): Promise<void> {
  const { access, report, share } = options;
  const { catalogue, proven } = report;
  if (share === 0 || proven.length === 0) {
    await application.rememberHeads(catalogue.heads.frontier, run);
    return;
  }
  const { clock } = application.context.runtime;
  const { head } = await inMaintainerSession(
    { access, info: application.sessionInfo('verify'), remembered: [], catalogue },
    async (session) => {
      for (const { base, chunks, bytes } of proven) {
        await session.put(
          'proof',
          [{ name: 'maintenance', value: { manifest: base.key, atMs: clock.nowMs(), chunks, bytes } }],
          run,
        );
      }
    },
    run,
  );
  await application.rememberHeads([...catalogue.heads.frontier, head], run);
}
