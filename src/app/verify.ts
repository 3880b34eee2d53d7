import { loadConnector } from '../connectors/load.ts';
import { connectorKinds } from '../connectors/registry.ts';
import type { Run } from '../core/run.ts';
import type { RepositoryAccess } from '../repository/access.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import { knownDamage, unneededOf, verificationOf } from '../repository/known-damage.ts';
import type { Verification } from '../repository/known-damage.ts';
import { inMaintainerSession } from '../repository/maintainer.ts';
import { verifyRepository } from '../repository/verify.ts';
import type { VerifyReport } from '../repository/verify.ts';
import type { DecoderOf } from '../repository/verify/decoding.ts';
import type { OpenApplication } from './application.ts';
import type { VerifyResult } from './results.ts';
import { recorded } from './run-record.ts';

export type VerifyRequest = {
  /** 0: structure alone; 1: every byte. */
  readonly share: number;
};

/**
 * Checks the repository and writes down which bases are proven: those of which every byte was read and is good, whatever became of others. Where
 * records are damaged or gone no proof is added. What is damaged is written down for monitoring and for writers, and is in the result, not thrown.
 */
export async function verify(application: OpenApplication, request: VerifyRequest, run: Run): Promise<VerifyResult> {
  const reader = await application.openAsReader(run);
  const maintainer = await application.maintainerOrWarning(reader, run);
  let catalogue: Catalogue | undefined;
  let verification: Verification | undefined;
  return await recorded(
    application,
    { command: 'verify', access: async () => maintainer, catalogue: () => catalogue },
    async () => {
      const report = await check(application, { access: maintainer ?? reader, share: request.share }, run);
      ({ catalogue } = report);
      verification = await verificationNow(
        application,
        { access: maintainer ?? reader, share: request.share },
        report,
        run,
      );
      const { bases, segments, chunks, bytes, damage } = report;
      for (const note of report.notes) {
        application.context.warn(`${note}; nothing is lost by it, but what stores it loses data`);
      }
      if (catalogue.findings.length === 0) {
        await application.rememberHeads(catalogue.heads.frontier, run);
        if (maintainer !== undefined && request.share > 0) await writeProofs(application, maintainer, report, run);
      }
      return { checked: { bases, segments, chunks, bytes }, damage };
    },
    ({ checked, damage }) => ({
      outcome: damage.length === 0 ? 'done' : 'damaged',
      summary: { ...checked, share: request.share, damaged: damage.length },
      verification,
    }),
  );
}

async function check(
  application: OpenApplication,
  { access, share }: { readonly access: RepositoryAccess; readonly share: number },
  run: Run,
): Promise<VerifyReport> {
  const { runtime, progress, engines } = application.context;
  return await verifyRepository(
    {
      access,
      remembered: await application.rememberedHeads(run),
      share,
      random: runtime.random,
      openChecker: () => engines.openChecker(access),
      decoderOf: decodersOr((message) => application.context.warn(message)),
      onProgress: ({ packs, totalPacks, bytes }) => progress.report({ phase: 'verifying', packs, totalPacks, bytes }),
    },
    run,
  );
}

/** The connectors that this version has; that there are stores of others is told once. */
function decodersOr(warn: (message: string) => void): DecoderOf {
  const unknown = new Set<string>();
  return async (kind) => {
    if (connectorKinds.some(({ name }) => name === kind)) return await loadConnector(kind);
    if (unknown.has(kind)) return undefined;
    unknown.add(kind);
    warn(`stores of ${kind} are not known here: whether what is stored of them can be decoded was not checked`);
    return undefined;
  };
}

/** What it found. What no mark needs was not looked at: where it is known to be damaged, and still there, it stays so. */
async function verificationNow(
  { objects }: Pick<OpenApplication, 'objects'>,
  { access, share }: { readonly access: RepositoryAccess; readonly share: number },
  { catalogue, damage }: VerifyReport,
  run: Run,
): Promise<Verification> {
  const known: string[] = [];
  for (const key of unneededOf(knownDamage(access, catalogue).objects, catalogue)) {
    if ((await objects.stat(key, run)) !== undefined) known.push(key);
  }
  const depth = share >= 1 ? 'all' : share > 0 ? 'some' : 'structure';
  return verificationOf(damage, { depth, known });
}

async function writeProofs(
  application: OpenApplication,
  access: RepositoryAccess,
  { catalogue, proven }: VerifyReport,
  run: Run,
): Promise<void> {
  if (proven.length === 0) return;
  const { clock } = application.context.runtime;
  const { head } = await inMaintainerSession(
    { access, info: application.sessionInfo('verify'), remembered: [], catalogue },
    async (session) => {
      for (const { base, chunks, bytes } of proven) {
        const value = { manifest: base.key, atMs: clock.nowMs(), chunks, bytes };
        await session.put('proof', [{ name: 'maintenance', value }], run);
      }
    },
    run,
  );
  await application.rememberHeads([...catalogue.heads.frontier, head], run);
}
