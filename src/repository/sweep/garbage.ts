import type { Run } from '../../core/run.ts';
import type { ObjectInfo } from '../../objects/object-store.ts';
import { packKeysOf } from '../catalogue.ts';
import type { BaseRecord } from '../catalogue.ts';
import { parsePackKey, parseRecordKey } from '../format/names.ts';
import { replacedIndexObjects } from '../replaced-index.ts';
import { spareRecords } from './spare-records.ts';
import { spareBases } from './view.ts';
import type { SweepView } from './view.ts';

export type SweepObject = { readonly key: string; readonly sizeBytes: number };

/** Everything that nothing needs and that is older than a lease. A base and what it alone needs are spare together. */
export async function findGarbage(view: SweepView, run: Run): Promise<readonly SweepObject[]> {
  const { access, catalogue, live, oldMs } = view;
  const bases = new Set(spareBases(view).map(({ key }) => key));
  const needed = neededPacks(view, (base) => bases.has(base.key));
  const found: SweepObject[] = [];
  for await (const batch of access.objects.list('packs/', '', run)) {
    for (const pack of batch) {
      if (parsePackKey(pack.key) === undefined || pack.modifiedMs > oldMs) continue;
      if (!needed.has(pack.key) && !mayBeUnderWay(view, pack)) found.push({ key: pack.key, sizeBytes: pack.sizeBytes });
    }
  }
  for (const { record, modifiedMs } of spareRecords(view, bases)) {
    const sizeBytes = record.signed.byteLength + record.signature.byteLength;
    if (modifiedMs <= oldMs) found.push({ key: record.key, sizeBytes });
  }
  for (const key of catalogue.log.beatKeys) {
    const session = parseRecordKey(key)?.session ?? '';
    const isOld = (catalogue.log.lastBeatMs.get(session) ?? view.nowMs) <= oldMs;
    if (isOld && !live.has(session)) found.push({ key, sizeBytes: 0 });
  }
  for (const object of await replacedIndexObjects(access.objects, run)) {
    if (object.modifiedMs <= oldMs) found.push({ key: object.key, sizeBytes: object.sizeBytes });
  }
  return found;
}

/** All packs that some base needs, but for the bases that are `going`. */
export function neededPacks(view: SweepView, going: (base: BaseRecord) => boolean): ReadonlySet<string> {
  const packs = new Set<string>();
  for (const base of view.catalogue.bases.values()) {
    if (!going(base)) for (const key of packKeysOf(base)) packs.add(key);
  }
  return packs;
}

/** A pack that a live session may have written without having said so yet. */
function mayBeUnderWay({ live }: SweepView, pack: ObjectInfo): boolean {
  const credential = parsePackKey(pack.key)?.credential;
  return [...live.values()].some(
    (session) => (session.credential ?? credential) === credential && session.startedMs <= pack.modifiedMs,
  );
}
