import type { RepositoryAccess } from './access.ts';
import type { Catalogue } from './catalogue.ts';
import { isDamage } from './format/byte-cursor.ts';
import { ofKind, openTrusted } from './records/record-log.ts';

/** A run that ended and said how. */
export type PastRun = { readonly key: string; readonly command: string; readonly startedAtMs: number; readonly durationMs: number; readonly outcome: string };

/** Past runs, newest first. Damaged ones are among the catalogue's findings, not here. */
export function listRuns(access: RepositoryAccess, catalogue: Catalogue): readonly PastRun[] {
  const runs: PastRun[] = [];
  for (const trusted of ofKind(catalogue.log, 'run')) {
    try {
      const fields = openTrusted(access, trusted, ['maintenance']);
      if (fields === undefined) continue;
      runs.push({
        key: trusted.record.key,
        command: fields.text('command'),
        startedAtMs: fields.number('startedAtMs'),
        durationMs: fields.number('durationMs'),
        outcome: fields.text('outcome'),
      });
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
  }
  return runs.toSorted((left, right) => right.startedAtMs - left.startedAtMs);
}
