import { DOCTOR_CLAUSE } from '../core/error-codes.ts';
import { isTidemarkError } from '../core/errors.ts';
import type { Finding } from '../core/finding.ts';
import type { Run } from '../core/run.ts';
import { loadCatalogue } from '../repository/catalogue.ts';
import { knownDamage } from '../repository/known-damage.ts';
import { openWithAnyKey } from './any-key.ts';
import { OpenApplication } from './application.ts';
import type { AppContext } from './application.ts';
import { foundDamage } from './found-damage.ts';
import { chosenStores } from './chosen-stores.ts';
import { checkBases } from './doctor/bases.ts';
import { checkHost } from './doctor/host.ts';
import { checkRepository } from './doctor/repository.ts';
import { checkRestores } from './doctor/restores.ts';
import type { AlarmResult, DoctorResult } from './results.ts';
import { lostHeads, rolledBack } from './rollback.ts';
import { resolveStore } from './store-place.ts';
import { takenNameFindings } from './taken-names.ts';

const SEVERITY: Readonly<Record<Finding['severity'], number>> = { error: 0, warning: 1, note: 2 };

/**
 * Checks everything that a backup and a restore would need, as far as it can without doing either. Names of `stores`; none means all. What goes
 * wrong is a finding, not an error, so that the rest is checked as well. The most serious findings come first.
 */
export async function diagnose(context: AppContext, stores: readonly string[], run: Run): Promise<DoctorResult> {
  const chosen = context.configuration === undefined ? [] : chosenStores(context.configuration, stores);
  const findings: Finding[] = [];
  findings.push(...(await checkHost(context, run)));
  findings.push(
    ...(await attempt(run, () =>
      diagnoseRepository(
        context,
        chosen.map(({ name }) => name),
        run,
      ),
    )),
  );
  for (const store of chosen) {
    const found = await attempt(run, async () => {
      const { connector, options, warnings } = await resolveStore(context, store, [context.repositoryUrl]);
      const settled = warnings.map(
        (message): Finding => ({
          code: 'STORE_LEFT_OUT',
          severity: 'warning',
          message,
          hint: 'Put the repository elsewhere, best on another disk.',
        }),
      );
      return [...settled, ...(await connector.diagnose(options, context.runtime, run))];
    });
    findings.push(...found.map((finding) => ({ ...finding, store: store.name })));
  }
  const told = findings.map((finding) => ({ ...finding, hint: finding.hint.replace(DOCTOR_CLAUSE, '') }));
  return { findings: told.toSorted((left, right) => SEVERITY[left.severity] - SEVERITY[right.severity]) };
}

async function diagnoseRepository(
  context: AppContext,
  stores: readonly string[],
  run: Run,
): Promise<readonly Finding[]> {
  await using application = await OpenApplication.open(context, run);
  const findings = [...(await checkRepository(application, run)), ...(await checkRestores(application, run))];
  return [...findings, ...(await attempt(run, () => diagnoseContents(application, stores, run)))];
}

async function diagnoseContents(
  application: OpenApplication,
  stores: readonly string[],
  run: Run,
): Promise<readonly Finding[]> {
  const { access, isWriterOnly } = await openWithAnyKey(application, run);
  const remembered = await application.rememberedHeads(run);
  const catalogue = await loadCatalogue(access, remembered, run);
  const nowMs = await application.timeForPeople(run);
  const damage = knownDamage(access, catalogue);
  return [
    ...(isWriterOnly ? [NO_READER_KEY] : []),
    ...lostHeads(catalogue, remembered).map(rolledBack),
    ...catalogue.findings,
    ...foundDamage({ catalogue, damage, knowsNeeds: !isWriterOnly }).map(asError),
    ...takenNameFindings({ access, catalogue, application: application.name, stores }),
    ...checkBases({ catalogue, stores, nowMs, knowsProofs: !isWriterOnly }),
  ];
}

function asError(alarm: AlarmResult): Finding {
  return { ...alarm, severity: 'error' };
}

const NO_READER_KEY: Finding = {
  code: 'NO_READER_KEY',
  severity: 'note',
  message: 'this host backs up with the credential that it keeps, and has no passphrase to verify or restore with',
  hint: 'Run `tidemark verify` where the passphrase is, and keep the passphrase where a restore will find it.',
};

/** What fails is a finding. @throws what is no error of an operator, and interruptions */
async function attempt(run: Run, work: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await work();
  } catch (error) {
    run.signal.throwIfAborted();
    if (!isTidemarkError(error)) throw error;
    const { code, message, hint } = error;
    return [{ code, severity: 'error', message, hint }];
  }
}
