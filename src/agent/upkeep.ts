import type { OpenApplication } from '../app/application.ts';
import { forgetMarks, sweepRepository } from '../app/maintain.ts';
import type { AlarmResult } from '../app/results.ts';
import { verify } from '../app/verify.ts';
import { operatorError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import { runOnSchedule } from '../flow/schedule.ts';
import { loadCatalogue } from '../repository/catalogue.ts';
import { knownDamage } from '../repository/known-damage.ts';
import type { Damage } from '../repository/verify/damage.ts';

const HOURLY = '17 * * * *';
const DAILY = '40 4 * * *';
const JITTER_MS = 5 * 60_000;
/** Of the packs: over a month nearly everything is read once. */
const SAMPLE = 0.05;

export type UpkeepOptions = {
  readonly application: OpenApplication;
  readonly timezone: string;
  readonly onNews: (message: string) => void;
  /** Replaces what was alarming before under the same code. */
  readonly onAlarm: (code: string, alarm: AlarmResult | undefined) => void;
};

/**
 * What a repository needs besides recording, where the passphrase is at hand: retention each hour, and each day a sample is verified. Without a
 * passphrase another host has to do it, which `doctor` says. What fails is told, and done again the next time.
 */
export async function keepUp(options: UpkeepOptions, run: Run): Promise<void> {
  const { application, timezone } = options;
  const { context } = application;
  if ((await context.knownPassphrase()) === undefined) return;
  const { clock, random } = context.runtime;
  const schedule = { timezone, clock, random, jitterMs: JITTER_MS, lastRunMs: undefined };
  await Promise.all([
    runOnSchedule({ ...schedule, schedule: HOURLY, onDue: (_, inner) => retain(options, inner) }, run),
    runOnSchedule({ ...schedule, schedule: DAILY, onDue: (_, inner) => verifySample(options, inner) }, run),
  ]);
}

async function retain({ application, onNews, onAlarm }: UpkeepOptions, run: Run): Promise<void> {
  await told({ code: 'RETENTION', onAlarm, onNews }, run, async () => {
    const { removed } = await forgetMarks(application, { apply: true }, run);
    const swept = await sweepRepository(application, { apply: true, wait: false }, run);
    if (removed.length + swept.removed.length > 0) {
      onNews(`retention: ${removed.length} marks given up, ${swept.removed.length} objects deleted`);
    }
  });
}

/**
 * What it finds damaged the repository tells from then on, until it is found whole. Where that could not be written down it stays an alarm of this
 * process: the next sample is another one.
 */
export async function verifySample({ application, onNews, onAlarm }: UpkeepOptions, run: Run): Promise<void> {
  await told({ code: 'VERIFY', onAlarm, onNews }, run, async () => {
    const { damage } = await verify(application, { share: SAMPLE }, run);
    const [first] = damage;
    if (first === undefined) return;
    const message = `${damage.length} objects of the repository are damaged, such as ${first.object}`;
    const hint = 'Run `tidemark verify --data` to see what is affected';
    onNews(`${message}. ${hint}.`);
    const alarm = { code: 'DAMAGE', message, hint: `${hint}; this stands until \`up\` is started anew.` };
    onAlarm('DAMAGE', (await isWrittenDown(application, damage, run)) ? undefined : alarm);
  });
}

async function isWrittenDown(application: OpenApplication, damage: readonly Damage[], run: Run): Promise<boolean> {
  const access = await application.openAsReader(run);
  const { objects, others } = knownDamage(access, await loadCatalogue(access, [], run));
  return others > 0 || damage.every(({ object }) => objects.has(object));
}

async function told(
  { code, onAlarm, onNews }: Pick<UpkeepOptions, 'onAlarm' | 'onNews'> & { readonly code: string },
  run: Run,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
    onAlarm(code, undefined);
  } catch (thrown) {
    run.signal.throwIfAborted();
    const error = operatorError(thrown, 'the repository can’t be kept up');
    if (error === undefined) throw thrown;
    onAlarm(code, { code: error.code, message: error.message, hint: error.hint });
    onNews(`${error.message}. ${error.hint}`);
  }
}
