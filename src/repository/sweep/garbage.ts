import type { Run } from '../../core/run.ts';
import type { ObjectInfo } from '../../objects/object-store.ts';
import { packKeysOf } from '../catalogue.ts';
import { parseBodyKey, parsePackKey, parseRecordKey } from '../format/names.ts';
import { objectsOf } from '../log-needs.ts';
import { segmentPackKeys } from '../log-view.ts';
import { replacedIndexObjects } from '../replaced-index.ts';
import { spareRecords } from './spare-records.ts';
import { spareBases } from './view.ts';
import type { SweepView } from './view.ts';

export type SweepObject = { readonly key: string; readonly sizeBytes: number };

/** Everything that nothing needs and that is older than a lease. A base and what it alone needs are spare together. */
export async function findGarbage(view: SweepView, run: Run): Promise<readonly SweepObject[]> {
  const { access, catalogue, live, oldMs } = view;
  const bases = new Set(spareBases(view).map(({ key }) => key));
  const records = spareRecords(view, bases);
  const going = new Set(records.flatMap(({ record, modifiedMs }) => (modifiedMs <= oldMs ? record.key : [])));
  for (const key of bases) going.add(key);
  const needed = neededObjects(view, going);
  const found: SweepObject[] = [];
  for await (const batch of access.objects.list('logs/', '', run)) {
    for (const body of batch) {
      if (parseBodyKey(body.key) === undefined || body.modifiedMs > oldMs) continue;
      if (!needed.has(body.key) && !mayBeUnderWay(view, body)) {
        found.push({ key: body.key, sizeBytes: body.sizeBytes });
      }
    }
  }
  for await (const batch of access.objects.list('packs/', '', run)) {
    for (const pack of batch) {
      if (parsePackKey(pack.key) === undefined || pack.modifiedMs > oldMs) continue;
      if (!needed.has(pack.key) && !mayBeUnderWay(view, pack)) found.push({ key: pack.key, sizeBytes: pack.sizeBytes });
    }
  }
  for (const { record, modifiedMs } of records) {
    if (modifiedMs <= oldMs) found.push({ key: record.key, sizeBytes: record.sizeBytes });
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

/** All packs and bodies that some base or segment needs, but for those whose record is `going`. */
export function neededObjects(view: SweepView, going: ReadonlySet<string>): ReadonlySet<string> {
  const needed = new Set<string>();
  for (const base of view.catalogue.bases.values()) {
    if (!going.has(base.key)) for (const key of packKeysOf(base)) needed.add(key);
  }
  for (const segment of view.catalogue.segments) {
    if (going.has(segment.key)) continue;
    for (const key of segmentPackKeys(segment)) needed.add(key);
    for (const key of objectsOf(segment)) needed.add(key);
  }
  return needed;
}

/** A pack that a live session may have written without having said so yet. */
function mayBeUnderWay({ live }: SweepView, pack: ObjectInfo): boolean {
  const credential = (parsePackKey(pack.key) ?? parseBodyKey(pack.key))?.credential;
  return [...live.values()].some(
    (session) => (session.credential ?? credential) === credential && session.startedMs <= pack.modifiedMs,
  );
}
