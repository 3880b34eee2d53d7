import { orderOf } from '../core/position.ts';
import type { Exactness } from '../core/position.ts';
import type { BaseRecord, MarkRecord } from '../repository/catalogue.ts';
import type { SegmentRecord } from '../repository/log-view.ts';
import type { Mark } from '../repository/mark.ts';
import type { TrustedRecord } from '../repository/records/record-log.ts';
import { positionAt } from './repository-fixture.ts';

const WRITER = 'a';

/** Records of which nobody looks at more than what they say. */
const NOT_LOOKED_AT = {} as TrustedRecord; // what takes these records apart by position never opens them

let count = 0;

function nextKey(folder: string): string {
  count += 1;
  return `${folder}/${'0'.repeat(32)}-${count.toString(16).padStart(8, '0')}`;
}

/** A base at that place; exact unless `logFrom` says otherwise. */
export function fakeBase(
  cut: number,
  options: {
    readonly logFrom?: number;
    readonly resume?: string;
    readonly credential?: string;
    readonly isConfirmed?: boolean;
    readonly exact?: Exactness;
  } = {},
): BaseRecord {
  const { logFrom = cut, resume = String(cut), credential = WRITER, isConfirmed = true, exact = 'position' } = options;
  return {
    key: nextKey('manifests'),
    credential,
    session: credential,
    modifiedMs: cut,
    summary: {
      store: 'orders',
      history: 'orders',
      logFrom: positionAt(logFrom, logFrom === cut ? resume : String(logFrom)),
      cut: positionAt(cut, resume),
      exact,
      entries: 0,
      bytes: 0,
      startedAtMs: cut,
      createdAtMs: cut,
    },
    isConfirmed,
    trusted: NOT_LOOKED_AT,
  };
}

/** What happened after one place up to another. Times are those of the places, in seconds. */
export function fakeSegment(
  after: number,
  upTo: number,
  options: Partial<Pick<SegmentRecord, 'credential' | 'storedBytes' | 'fromMs' | 'toMs' | 'isConfirmed'>> & {
    readonly afterResume?: string;
  } = {},
): SegmentRecord {
  const { credential = WRITER, afterResume, storedBytes = 100, isConfirmed = true } = options;
  const { fromMs = after * 1000, toMs = upTo * 1000 } = options;
  return {
    key: nextKey('journal'),
    credential,
    session: credential,
    modifiedMs: upTo,
    store: 'orders',
    history: 'orders',
    after: { ...positionAt(after), resume: afterResume ?? positionAt(after).resume },
    upTo: positionAt(upTo),
    fromMs,
    toMs,
    changes: upTo - after,
    storedBytes,
    packs: [],
    body: orderOf(count),
    offset: 0,
    isConfirmed,
    trusted: NOT_LOOKED_AT,
  };
}

/** A mark of the one history at that place, or with that base; it stands on what it names. */
export function fakeMark(order: number, options: Partial<Mark> & { readonly credential?: string } = {}): MarkRecord {
  const { credential = WRITER, ...rest } = options;
  const mark: Mark = {
    id: `mark-${order}`,
    tags: [],
    class: 'clock',
    atMs: order,
    skewMs: 0,
    positions: { orders: positionAt(order) },
    bases: {},
    missing: [],
    ...rest,
  };
  const key = nextKey('journal');
  return {
    key,
    mark,
    signed: mark,
    modifiedMs: order,
    pinned: false,
    session: credential,
    credential,
    isConfirmed: true,
    heldBy: [key],
    standsOn: new Map(Object.entries(mark.bases)),
  };
}
