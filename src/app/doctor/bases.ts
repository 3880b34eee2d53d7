import type { Finding } from '../../core/finding.ts';
import { newestBase } from '../../repository/catalogue.ts';
import type { BaseRecord, Catalogue } from '../../repository/catalogue.ts';
import { ageText } from '../shown.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** A daily backup may be late by as much again. */
const OLD_BASE_MS = 48 * HOUR_MS;
/** So long after its last proof a store wants another one. */
export const OLD_PROOF_MS = 30 * DAY_MS;

export type BasesChecked = {
  readonly catalogue: Catalogue;
  readonly stores: readonly string[];
  /** The object store's. */
  readonly nowMs: number;
  /** False where the key at hand does not open proofs. */
  readonly knowsProofs: boolean;
};

/** How old the last backup of each store is, and whether any was ever proven. */
export function checkBases({ catalogue, stores, nowMs, knowsProofs }: BasesChecked): readonly Finding[] {
  return stores.flatMap((store): readonly Finding[] => {
    const newest = newestBase(catalogue, store);
    if (newest === undefined) {
      const message = 'there is no backup of it yet';
      return [
        { code: 'NEVER_BACKED_UP', severity: 'warning', store, message, hint: 'Take one with `tidemark backup`.' },
      ];
    }
    return [...checkAge(newest, nowMs), ...(knowsProofs ? checkProof(catalogue, newest, nowMs) : [])];
  });
}

function checkAge({ summary: { store, createdAtMs }, modifiedMs }: BaseRecord, nowMs: number): readonly Finding[] {
  const ageMs = nowMs - Math.min(createdAtMs, modifiedMs);
  if (ageMs <= OLD_BASE_MS) return [];
  const message = `its last backup is ${ageText(ageMs)} old`;
  return [
    {
      code: 'OLD_BACKUP',
      severity: 'warning',
      store,
      message,
      hint: 'See `tidemark runs` for why, and run `tidemark backup` every day.',
    },
  ];
}

function checkProof(catalogue: Catalogue, { summary: { store } }: BaseRecord, nowMs: number): readonly Finding[] {
  const proofs = [...catalogue.bases.values()]
    .filter(({ summary }) => summary.store === store)
    .flatMap(({ provenAtMs }) => provenAtMs ?? []);
  const hint = 'Prove every byte with `tidemark verify --data`.';
  if (proofs.length === 0) {
    const message = 'no backup of it was ever read back and proven';
    return [{ code: 'NEVER_PROVEN', severity: 'warning', store, message, hint }];
  }
  const ageMs = nowMs - Math.max(...proofs);
  if (ageMs <= OLD_PROOF_MS) return [];
  const message = `it is ${ageText(ageMs)} since a backup of it was proven`;
  return [{ code: 'OLD_PROOF', severity: 'warning', store, message, hint }];
}
