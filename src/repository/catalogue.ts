import { fromHex } from '../core/bytes.ts';
import { isTidemarkError } from '../core/errors.ts';
import type { Finding } from '../core/finding.ts';
import { isSamePlace } from '../core/position.ts';
import type { Position } from '../core/position.ts';
import type { Run } from '../core/run.ts';
import type { RepositoryAccess } from './access.ts';
import { newestOf } from './base-order.ts';
import { coversStore } from './format/certificate.ts';
import { MAX_BODY_BYTES } from './format/frame.ts';
import type { JsonFields } from './format/json.ts';
import { packKey, parseRecordKey, recordKey } from './format/names.ts';
import type { SectionName } from './format/record.ts';
import { basesByHistory, placeIn } from './log-needs.ts';
import { HistoryView } from './log-view.ts';
import type { GapRecord, SegmentRecord } from './log-view.ts';
import type { Mark } from './mark.ts';
import { readMaintenance, readSummary } from './records/bodies.ts';
import type { ManifestMaintenance, ManifestSummary } from './records/bodies.ts';
import { readJournal } from './records/journal-body.ts';
import type { JournalBody } from './records/journal-body.ts';
import {
  chainsOf,
  findDiscontinuities,
  findTwins,
  isChained,
  fingerprintOf,
  readHeads,
  viewHeads,
} from './records/heads.ts';
import type { Chains, Discontinuity, Head, HeadView } from './records/heads.ts';
import { Ledger, readLedger } from './records/ledger.ts';
import type { LedgerBody } from './records/ledger.ts';
import { badRecordFinding, loadRecords, ofKind, openTrusted } from './records/record-log.ts';
import type { BadRecord, RecordLog, TrustedRecord } from './records/record-log.ts';

/** A base that counts: signed by a writer of its store, and not void. */
export type BaseRecord = {
  /** The key of its manifest, which is its id. */
  readonly key: string;
  readonly credential: string;
  readonly session: string;
  readonly modifiedMs: number;
  readonly summary: ManifestSummary;
  /** Only with a maintainer's or reader's key. */
  readonly maintenance?: ManifestMaintenance | undefined;
  /** When every byte of it was last proven, if ever. */
  readonly provenAtMs?: number | undefined;
  /**
   * Its session went on with something else than a void, so its writer found it safe. The last one of a session may be in the making, or its
   * writer died before it knew: no mark of another session may name it.
   */
  readonly isConfirmed: boolean;
  readonly trusted: TrustedRecord;
};

/** A mark that can be restored, but for the histories whose base is not among the catalogue's: these are in `missing` as well. */
export type MarkRecord = {
  readonly key: string;
  readonly mark: Mark;
  /** As its record has it. */
  readonly signed: Mark;
  readonly modifiedMs: number;
  readonly pinned: boolean;
  readonly session: string;
  readonly credential: string;
  /** A writer has gone on behind a record that holds it. Until then its writer may take it back. */
  readonly isConfirmed: boolean;
  /** Keys of records that hold it, one of which is sure to stay: `key`, or where it is not confirmed, all. */
  readonly heldBy: readonly string[];
  /** By history, the key of the base that it stands on, also of one that it names and that is not there. */
  readonly standsOn: ReadonlyMap<string, string>;
};

/** What can't be restored of a mark: one history, or nothing of it where what it says can't be true. */
export type BrokenMark = {
  /** Of the journal object. */
  readonly key: string;
  readonly mark: Mark;
  readonly history: string;
  readonly message: string;
  readonly isRefused: boolean;
};

/** Everything that a repository says it holds, as of one listing. Marks ascend by time; forgotten ones are not in. */
export type Catalogue = {
  readonly log: RecordLog;
  readonly bases: ReadonlyMap<string, BaseRecord>;
  readonly marks: readonly MarkRecord[];
  readonly segments: readonly SegmentRecord[];
  readonly gaps: readonly GapRecord[];
  /** By history, what leads to its positions. */
  readonly histories: ReadonlyMap<string, HistoryView>;
  /** Ids of all marks whose record is there, also of those that were given up. */
  readonly markIds: ReadonlySet<string>;
  readonly pins: ReadonlyMap<string, readonly string[]>;
  readonly ledger: Ledger;
  readonly ledgers: readonly { readonly key: string; readonly body: LedgerBody; readonly trusted: TrustedRecord }[];
  readonly chains: Chains;
  readonly heads: HeadView;
  readonly fingerprint: string;
  /** Damaged records, broken chains, heads that are gone: what is lost is not in the rest. The next three say it in detail. */
  readonly findings: readonly Finding[];
  readonly bad: readonly BadRecord[];
  readonly broken: readonly BrokenMark[];
  readonly discontinuities: readonly Discontinuity[];
};

class Opener {
  readonly access: RepositoryAccess;
  readonly bad: BadRecord[] = [];

  constructor(access: RepositoryAccess) {
    this.access = access;
  }

  /** The parsed section, or undefined when there is no key for it or it is damaged, which becomes a finding. */
  read<T>(trusted: TrustedRecord, names: readonly SectionName[], parse: (fields: JsonFields) => T): T | undefined {
    try {
      const fields = openTrusted(this.access, trusted, names);
      return fields && parse(fields);
    } catch (error) {
      if (!isTidemarkError(error, 'REPOSITORY_DAMAGED')) throw error;
      this.refuse(trusted.record.key, error.message);
      return undefined;
    }
  }

  refuse(key: string, message: string): void {
    if (!this.bad.some((bad) => bad.key === key)) this.bad.push({ key, message });
  }
}

function readVoids(opener: Opener, log: RecordLog): Set<string> {
  const voided = new Set<string>();
  for (const trusted of ofKind(log, 'void')) {
    const key = opener.read(trusted, ['plain'], (fields) => fields.text('record'));
    const target = key === undefined ? undefined : log.byKey.get(key);
    const { session, credential } = trusted.record.header;
    const own = target?.record.header;
    if (own?.session === session && own.credential === credential) {
      voided.add(recordKey(own.kind, session, own.counter));
    }
  }
  return voided;
}

function readPins(opener: Opener, log: RecordLog): Map<string, string[]> {
  const ended = new Set(
    ofKind(log, 'unpin').flatMap(
      (trusted) => opener.read(trusted, ['maintenance'], (fields) => fields.texts('pins')) ?? [],
    ),
  );
  const pins = new Map<string, string[]>();
  for (const trusted of ofKind(log, 'pin')) {
    if (ended.has(trusted.record.key)) continue;
    const mark = opener.read(trusted, ['maintenance'], (fields) => fields.text('mark'));
    if (mark !== undefined) pins.set(mark, [...(pins.get(mark) ?? []), trusted.record.key]);
  }
  return pins;
}

function readBases(
  opener: Opener,
  log: RecordLog,
  voided: ReadonlySet<string>,
  isConfirmed: (trusted: TrustedRecord) => boolean,
): Map<string, BaseRecord> {
  const proven = new Map<string, number>();
  for (const trusted of ofKind(log, 'proof')) {
    const proof = opener.read(trusted, ['maintenance'], (fields) => ({
      key: fields.text('manifest'),
      atMs: fields.number('atMs'),
    }));
    if (proof !== undefined) proven.set(proof.key, Math.max(proof.atMs, proven.get(proof.key) ?? 0));
  }
  const bases = new Map<string, BaseRecord>();
  for (const trusted of ofKind(log, 'manifest')) {
    const { key, header } = trusted.record;
    if (voided.has(key)) continue;
    const maintenance = opener.read(trusted, ['maintenance'], readMaintenance);
    const summary = maintenance ?? opener.read(trusted, ['writer'], readSummary);
    if (summary === undefined) continue;
    if (!coversStore(trusted.certificate, summary.store)) {
      opener.refuse(key, `its writer may not write the store ${summary.store}`);
      continue;
    }
    // A store has one history in this version; else a writer of one store could put its bases into the history of another.
    if (summary.history !== summary.store) {
      opener.refuse(key, `its history ${summary.history} is not one of the store ${summary.store}`);
      continue;
    }
    const { credential, session } = header;
    bases.set(key, {
      key,
      credential,
      session,
      modifiedMs: trusted.modifiedMs,
      summary,
      maintenance,
      provenAtMs: proven.get(key),
      isConfirmed: isConfirmed(trusted),
      trusted,
    });
  }
  return bases;
}

/**
 * The next record of the session says it. Where it is not there it was no void, which stays as long as what it voids; but it may not be listed
 * yet.
 */
function confirmedBy(options: {
  readonly chains: Chains;
  readonly heads: HeadView;
  readonly ledger: Ledger;
  readonly listsAtOnce: boolean;
}): (trusted: TrustedRecord) => boolean {
  const { chains, heads, ledger, listsAtOnce } = options;
  return ({ record }) => {
    const { session, counter } = record.header;
    const next = chains.get(session)?.get(counter + 1);
    if (next !== undefined) return next.record.header.kind !== 'void';
    if (ledger.isRemoved(session, counter + 1)) return true;
    return listsAtOnce && counter < (heads.present.get(session)?.counter ?? -1);
  };
}

type MarkContext = {
  readonly key: string;
  readonly credential: string;
  readonly certificate: TrustedRecord['certificate'];
  readonly standsOn: MarkRecord['standsOn'];
  readonly bases: ReadonlyMap<string, BaseRecord>;
  readonly histories: ReadonlyMap<string, HistoryView>;
};

/** What of a mark can't be restored although it is signed. */
function* findBroken(mark: Mark, context: MarkContext): Generator<BrokenMark> {
  const { key, credential, certificate, standsOn, bases, histories } = context;
  for (const history of new Set([...Object.keys(mark.positions), ...Object.keys(mark.bases)])) {
    const place = placeIn({ mark, credential }, history);
    const broken = { key, mark, history };
    if (place === undefined) {
      yield { ...broken, message: `it has a base of ${history} but no position`, isRefused: true };
      continue;
    }
    const { position } = place;
    const isNamed = place.base !== undefined;
    const base = bases.get(standsOn.get(history) ?? '');
    if (base === undefined) {
      const what = isNamed ? 'the base' : 'what leads to the position';
      yield { ...broken, message: `${what} of ${history} is missing`, isRefused: false };
    } else if (isNamed && (base.summary.history !== history || !isSamePlace(base.summary.cut, position))) {
      yield { ...broken, message: `the base of ${history} is not at its position`, isRefused: true };
    } else if (!coversStore(certificate, base.summary.store)) {
      yield { ...broken, message: `its writer may not write the store ${base.summary.store}`, isRefused: true };
    } else if (isNamed && histories.get(history)?.reaches(base, position) !== true) {
      yield { ...broken, message: `the log that the base of ${history} takes is missing`, isRefused: false };
    }
  }
}

type Journal = { readonly trusted: TrustedRecord; readonly body: JournalBody };

/** A writer can open its own. */
function readJournals(opener: Opener, log: RecordLog, voided: ReadonlySet<string>): readonly Journal[] {
  return ofKind(log, 'journal').flatMap((trusted) => {
    if (voided.has(trusted.record.key)) return [];
    const body = opener.read(trusted, ['maintenance', 'writer'], readJournal);
    return body === undefined ? [] : [{ trusted, body }];
  });
}

function readSegments(
  opener: Opener,
  journals: readonly Journal[],
  isConfirmed: (trusted: TrustedRecord) => boolean,
): SegmentRecord[] {
  const segments: SegmentRecord[] = [];
  for (const { trusted, body } of journals) {
    const { key, header } = trusted.record;
    const { session, credential } = header;
    let offset = 0;
    for (const segment of body.segments) {
      const own = offset;
      if (segment.body === undefined) offset += segment.storedBytes;
      const { store, history, after, upTo } = segment;
      if (!coversStore(trusted.certificate, store) || history !== store) {
        opener.refuse(key, `its writer may not write the log of ${history} of the store ${store}`);
      } else if (after.lineage !== upTo.lineage || after.order >= upTo.order) {
        opener.refuse(key, `a piece of the log of ${history} ends before it begins`);
      } else if (segment.storedBytes > MAX_BODY_BYTES) {
        opener.refuse(key, `a piece of the log of ${history} is too large`);
      } else {
        const { modifiedMs } = trusted;
        const known = { key, session, credential, modifiedMs, isConfirmed: isConfirmed(trusted), trusted };
        segments.push({ ...segment, ...known, offset: own });
      }
    }
  }
  return segments;
}

function readGaps(opener: Opener, journals: readonly Journal[]): GapRecord[] {
  const gaps: GapRecord[] = [];
  for (const { trusted, body } of journals) {
    const { key, header } = trusted.record;
    for (const gap of body.gaps) {
      const { credential, session } = header;
      if (coversStore(trusted.certificate, gap.store)) gaps.push({ ...gap, key, credential, session });
      else opener.refuse(key, `its writer may not write the log of the store ${gap.store}`);
    }
  }
  return gaps.toSorted((left, right) => left.toMs - right.toMs);
}

/** By history, what leads to its positions by these. */
export function viewHistories(
  bases: ReadonlyMap<string, BaseRecord>,
  segments: readonly SegmentRecord[],
): ReadonlyMap<string, HistoryView> {
  const basesOf = Map.groupBy(bases.values(), ({ summary }) => summary.history);
  const segmentsOf = Map.groupBy(segments, ({ history }) => history);
  const names = new Set([...basesOf.keys(), ...segmentsOf.keys()]);
  return new Map(
    [...names].map((name) => [name, new HistoryView(basesOf.get(name) ?? [], segmentsOf.get(name) ?? [])]),
  );
}

type MarkSources = {
  readonly journals: readonly Journal[];
  readonly voided: ReadonlySet<string>;
  readonly bases: ReadonlyMap<string, BaseRecord>;
  readonly histories: ReadonlyMap<string, HistoryView>;
  readonly pins: ReadonlyMap<string, readonly string[]>;
  readonly ledger: Ledger;
  readonly isConfirmed: (trusted: TrustedRecord) => boolean;
};

type MarksRead = { readonly marks: MarkRecord[]; readonly broken: BrokenMark[]; readonly ids: Set<string> };

/** A mark as a record holds it. */
type MarkCopy = { readonly trusted: TrustedRecord; readonly mark: Mark };

/** A mark that two records of one writer hold was merged into the later one: it counts once, by that, unless its writer may still take it back. */
function readMarks({ journals, voided, bases, histories, pins, ledger, isConfirmed }: MarkSources): MarksRead {
  const all = journals.flatMap(({ trusted, body }) => body.marks.map((mark): MarkCopy => ({ trusted, mark })));
  const standing = all.filter(({ mark }) => {
    if (ledger.forgotten.has(mark.id) && !pins.has(mark.id)) return false;
    // Its writer died before it could take it back: a mark whose bases a sweep took has never been whole.
    return !Object.values(mark.bases).some((base) => isWithdrawn(base, ledger, voided));
  });
  const marks: MarkRecord[] = [];
  const broken: BrokenMark[] = [];
  for (const copies of copiesOf(standing, isConfirmed)) {
    const sure = copies.filter((copy) => isConfirmed(copy.trusted));
    const counting = sure.length > 0 ? sure : copies;
    const { trusted, mark } = counting.reduce((last, copy) => (isEarlier(copy, last) ? last : copy));
    const { key, header } = trusted.record;
    const { credential, session } = header;
    const { certificate } = trusted;
    const standsOn = basesByHistory({ bases, histories }, { mark, credential });
    const found = [...findBroken(mark, { key, credential, certificate, standsOn, bases, histories })];
    // What a sweep took of a mark that was given up, or before the mark could be seen, is no damage: who pinned or put it died before it was noticed.
    const isOwed = sure.length > 0 && !ledger.forgotten.has(mark.id);
    broken.push(...found.filter(({ isRefused }) => isRefused || isOwed));
    if (found.some(({ isRefused }) => isRefused)) continue;
    const missing = [...new Set([...mark.missing, ...found.map(({ history }) => history)])];
    // When it was is the writer's word, but it can't have been after it was stored first.
    const atMs = Math.min(mark.atMs, ...copies.map((copy) => copy.trusted.modifiedMs));
    const pinned = pins.has(mark.id);
    const { modifiedMs } = trusted;
    const read = { ...mark, atMs, missing };
    const isSure = sure.length > 0;
    const held = { isConfirmed: isSure, heldBy: isSure ? [key] : copies.map((copy) => copy.trusted.record.key) };
    marks.push({ key, mark: read, signed: mark, modifiedMs, pinned, session, credential, ...held, standsOn });
  }
  const ascending = (left: MarkRecord, right: MarkRecord): number =>
    left.mark.atMs - right.mark.atMs || (left.mark.id < right.mark.id ? -1 : 1);
  return { marks: marks.toSorted(ascending), broken, ids: new Set(all.map(({ mark }) => mark.id)) };
}

/**
 * The copies of each mark. They are told from marks of one writer that happen to have one id by what they say. What its writer may take back was put again in
 * another form where that is sure.
 */
function* copiesOf(
  all: readonly MarkCopy[],
  isConfirmed: (trusted: TrustedRecord) => boolean,
): Generator<readonly MarkCopy[]> {
  const alike = Map.groupBy(all, ({ trusted, mark }) => `${mark.id} ${trusted.record.header.credential}`);
  for (const group of alike.values()) {
    if (group.length === 1) {
      yield group;
      continue;
    }
    const forms = [...Map.groupBy(group, ({ mark }) => JSON.stringify(mark)).values()];
    const sure = forms.filter((copies) => copies.some(({ trusted }) => isConfirmed(trusted)));
    yield* sure.length > 0 ? sure : forms;
  }
}

function isEarlier(left: MarkCopy, right: MarkCopy): boolean {
  return left.trusted.modifiedMs < right.trusted.modifiedMs;
}

/**
 * A session is of the credential that signed its start, or where that is not there, its first record that is: what another one signed in its
 * name counts for nothing.
 */
function withoutForeign(opener: Opener, log: RecordLog, ledger: Ledger): RecordLog {
  const firsts = new Map<string, TrustedRecord['record']['header']>();
  for (const { record } of log.byKey.values()) {
    const { session, counter, kind } = record.header;
    if (!isChained(kind) || ledger.isRemoved(session, counter)) continue;
    if (counter < (firsts.get(session)?.counter ?? Infinity)) firsts.set(session, record.header);
  }
  const byKey = new Map<string, TrustedRecord>();
  for (const [key, trusted] of log.byKey) {
    const { session, credential } = trusted.record.header;
    if ((firsts.get(session)?.credential ?? credential) === credential) byKey.set(key, trusted);
    else opener.refuse(key, 'it is not by the credential whose session it is');
  }
  return { ...log, byKey };
}

/** Whether a void or a ledger took the record of that key back. */
function isWithdrawn(key: string, ledger: Ledger, voided: ReadonlySet<string>): boolean {
  const name = parseRecordKey(key);
  return voided.has(key) || (typeof name?.number === 'number' && ledger.isRemoved(name.session, name.number));
}

/** A deletion that was cut off may have left records that a ledger says are gone. */
function withoutRemoved(log: RecordLog, ledger: Ledger): RecordLog {
  const byKey = [...log.byKey].filter(
    ([, { record }]) => !ledger.isRemoved(record.header.session, record.header.counter),
  );
  return { ...log, byKey: new Map(byKey) };
}

/**
 * Reads the whole catalogue. Never throws for damage: what is damaged is in `findings`, and what depends on it is left out.
 * `remembered`: heads that this host saw earlier. `before`: what was read a moment ago; what still lies there is not read again.
 */
export async function loadCatalogue(
  access: RepositoryAccess,
  remembered: readonly Head[],
  run: Run,
  before?: RecordLog,
): Promise<Catalogue> {
  const log = await loadRecords(access, run, before);
  const first = readCatalogue(access, log, { remembered });
  await access.kept?.save(log.byKey, run);
  if (first.findings.length === 0) return first;
  // Folders are listed one after another: a session that writes meanwhile seems to have holes. Only what is missing twice is.
  const second = readCatalogue(access, await loadRecords(access, run, first.log), { remembered });
  const holes = new Set(first.discontinuities.map(({ session, counter }) => `${session} ${counter}`));
  const marks = new Set(first.broken.map(({ mark }) => mark.id));
  const keys = new Set(first.bad.map(({ key }) => key));
  const discontinuities = second.discontinuities.filter(({ session, counter }) => holes.has(`${session} ${counter}`));
  const broken = second.broken.filter(({ mark }) => marks.has(mark.id));
  const bad = second.bad.filter(({ key }) => keys.has(key));
  return {
    ...second,
    discontinuities,
    broken,
    bad,
    findings: findingsOf(second.log, { bad, broken, discontinuities }),
  };
}

/** What these records say, taken together. `whole`: that of all records, where these are some of them: what follows on one is seen there. */
export function readCatalogue(
  access: RepositoryAccess,
  log: RecordLog,
  { remembered, whole }: { readonly remembered: readonly Head[]; readonly whole?: Catalogue },
): Catalogue {
  const opener = new Opener(access);
  const ledgers = ofKind(log, 'ledger').flatMap((trusted) => {
    const body = opener.read(trusted, ['plain'], readLedger);
    return body === undefined ? [] : [{ key: trusted.record.key, body, trusted }];
  });
  const ledger = new Ledger(ledgers);
  const owned = withoutForeign(opener, log, ledger);
  const standing = withoutRemoved(owned, ledger);
  const chains = chainsOf(owned);
  const heads = viewHeads(chains, ledger, (start) => opener.read(start, ['plain'], readHeads) ?? []);
  const voided = readVoids(opener, standing);
  const pins = readPins(opener, standing);
  const { listsAtOnce } = access.objects.capabilities;
  const isConfirmed = confirmedBy({ ...(whole ?? { chains, heads }), ledger, listsAtOnce });
  const bases = readBases(opener, standing, voided, isConfirmed);
  const journals = readJournals(opener, standing, voided);
  const segments = readSegments(opener, journals, isConfirmed);
  const gaps = readGaps(opener, journals);
  const histories = viewHistories(bases, segments);
  const { marks, broken, ids } = readMarks({ journals, voided, bases, histories, pins, ledger, isConfirmed });
  const discontinuities = [...findDiscontinuities(chains, heads, ledger, remembered), ...findTwins(owned, chains)];
  const bad = [...log.bad, ...opener.bad];
  const fingerprint = fingerprintOf(heads.frontier);
  const findings = findingsOf(log, { bad, broken, discontinuities });
  return {
    log: owned,
    bases,
    marks,
    segments,
    gaps,
    histories,
    markIds: ids,
    pins,
    ledger,
    ledgers,
    chains,
    heads,
    fingerprint,
    findings,
    bad,
    broken,
    discontinuities,
  };
}

function findingsOf(
  log: RecordLog,
  { bad, broken, discontinuities }: Pick<Catalogue, 'bad' | 'broken' | 'discontinuities'>,
): readonly Finding[] {
  const finding = (code: string, message: string, hint: string): Finding => ({
    code,
    severity: 'error',
    message,
    hint,
  });
  return [
    ...log.certificates.bad.map((object) => ({ ...badRecordFinding(object), code: 'certificate' })),
    ...bad.map(badRecordFinding),
    ...broken.map(({ mark, message }) =>
      finding('mark', `mark ${mark.id}: ${message}`, 'Choose another mark; `tidemark verify` shows what is damaged.'),
    ),
    ...discontinuities.map(({ message }) =>
      finding(
        'chain',
        message,
        'Something was removed or replaced in the repository’s storage; run `tidemark verify`.',
      ),
    ),
  ];
}

/** The newest base of a history that counts. */
export function newestBase(catalogue: Pick<Catalogue, 'bases'>, history: string): BaseRecord | undefined {
  return newestOf([...catalogue.bases.values()].filter(({ summary }) => summary.history === history));
}

/** The newest position that is there of a history: where the log of its newest base ends, or its cut. */
export function newestPosition(
  catalogue: Pick<Catalogue, 'bases' | 'histories'>,
  history: string,
): Position | undefined {
  const base = newestBase(catalogue, history);
  return base && (catalogue.histories.get(history)?.reachOf(base) ?? base.summary.cut);
}

/** Keys of all packs that a base needs; nothing without a maintainer's or reader's key. */
export function packKeysOf(base: BaseRecord | undefined): readonly string[] {
  return (base?.maintenance?.packs ?? []).map((pack) => packKey(base?.credential ?? '', fromHex(pack)));
}
