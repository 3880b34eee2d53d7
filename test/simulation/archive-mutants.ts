import type { Position } from '../../src/core/position.ts';
import { HistoryView } from '../../src/repository/log-view.ts';
import type { SegmentRecord } from '../../src/repository/log-view.ts';
import type { SweepView } from '../../src/repository/sweep/view.ts';
import { viewRepository } from '../../src/repository/sweep/view.ts';
import type { RepositoryWriter } from '../../src/repository/writer.ts';
import { openPoint } from '../../src/restore/point.ts';
import { realArchiveProtocol } from './archive-world.ts';
import type { ArchiveProtocol } from './archive-world.ts';
import { withMethods } from './archive-writer.ts';
import { sweepWith } from './mutants.ts';

/** One step done otherwise. */
export type ArchiveMutant = { readonly name: string; readonly protocol: ArchiveProtocol };

type Segments = readonly SegmentRecord[];

function writerWith(methods: (writer: RepositoryWriter) => Partial<RepositoryWriter>): ArchiveProtocol {
  return { ...realArchiveProtocol, writer: (writer) => withMethods(writer, methods(writer)) };
}

/** What a merge is told of what its writer has put. */
function mergeOf(change: (segments: Segments) => Segments): ArchiveProtocol {
  return writerWith((writer) => ({
    ownJournal: async (run) => {
      const own = await writer.ownJournal(run);
      return { ...own, runs: own.runs.map(change) };
    },
  }));
}

/** The second of three goes, and nobody sees a hole. */
function withoutSecond(segments: Segments): Segments {
  const [first, second, third, ...rest] = segments;
  if (first === undefined || second === undefined || third === undefined) return segments;
  return [first, { ...third, after: first.upTo }, ...rest];
}

/** The frames of the first two in the place of each other. */
function withSwappedFrames(segments: Segments): Segments {
  const [first, second, ...rest] = segments;
  if (first === undefined || second === undefined) return segments;
  const framesOf = ({ key, body, offset, storedBytes, trusted }: SegmentRecord) => ({
    key,
    body,
    offset,
    storedBytes,
    trusted,
  });
  return [{ ...first, ...framesOf(second) }, { ...second, ...framesOf(first) }, ...rest];
}

/** What comes after a merge has asked is told without its packs. */
const forgetsPacks = writerWith((writer) => {
  let isMerge = false;
  return {
    ownJournal: (run) => {
      isMerge = true;
      return writer.ownJournal(run);
    },
    putJournal: async (draft, run) => {
      const segments = isMerge ? draft.segments.map((segment) => ({ ...segment, packs: [] })) : draft.segments;
      isMerge = false;
      await writer.putJournal({ ...draft, segments }, run);
    },
  };
});

const tellsBeforeItPuts = writerWith((writer) => {
  let last: Promise<unknown> = Promise.resolve();
  return {
    putJournal: async (draft, run) => {
      last = last.then(() => writer.putJournal(draft, run)).catch(() => undefined);
    },
  };
});

const takesFailuresForSuccess = writerWith((writer) => ({
  putJournal: (draft, run) => writer.putJournal(draft, run).catch(() => undefined),
}));

const putsMarksFirst = writerWith((writer) => ({
  putJournal: async (draft, run) => {
    await writer.putJournal({ marks: draft.marks, segments: [], gaps: [] }, run);
    await writer.putJournal({ ...draft, marks: [] }, run);
  },
}));

const writers: Readonly<Record<string, ArchiveProtocol>> = {
  'a merge leaves out a segment': mergeOf(withoutSecond),
  'a merge joins frames in the wrong order': mergeOf(withSwappedFrames),
  'a merge forgets the packs of what it joins': forgetsPacks,
  'what is put is called durable before it is there': tellsBeforeItPuts,
  'what could not be put is called durable': takesFailuresForSuccess,
  'a mark is put before what it stands on': putsMarksFirst,
  'a writer goes on behind a record that another one of its name may take back': {
    ...realArchiveProtocol,
    putUnsureAgain: async (catalogue) => catalogue,
  },
  'after a start an agent goes on where the store is now': {
    ...realArchiveProtocol,
    known: (position: Position, head: Position | undefined) => head ?? position,
  },
};

const restores: Readonly<Record<string, ArchiveProtocol>> = {
  'a restore leaves out the last segment': {
    ...realArchiveProtocol,
    openPoint: (reader, point, run) => openPoint(reader, { ...point, segments: point.segments.slice(0, -1) }, run),
  },
  'a restore keeps what was removed': {
    ...realArchiveProtocol,
    openPoint: (reader, point, run) => openPoint(reader, { ...point, floor: point.base.summary.cut }, run),
  },
};

function sweepOver(change: (view: SweepView) => SweepView): ArchiveProtocol {
  const protocol = sweepWith({ view: async (...args) => change(await viewRepository(...args)) });
  return { ...realArchiveProtocol, sweep: protocol.sweep };
}

function withSegments(view: SweepView, isSeen: (segment: SegmentRecord) => boolean): SweepView {
  const { catalogue } = view;
  const bases = [...catalogue.bases.values()];
  const histories = [...catalogue.histories.keys()].map((name) => {
    const own = bases.filter(({ summary }) => summary.history === name);
    const segments = catalogue.segments.filter((segment) => segment.history === name && isSeen(segment));
    return [name, new HistoryView(own, segments)] as const;
  });
  return { ...view, catalogue: { ...catalogue, histories: new Map(histories) } };
}

/** As if no writer ever took a record of the journal back. */
function withoutDoubt(view: SweepView): SweepView {
  const { catalogue } = view;
  const segments = catalogue.segments.map((segment) => ({ ...segment, isConfirmed: true }));
  const marks = catalogue.marks.map((record) => ({ ...record, isConfirmed: true, heldBy: record.heldBy.slice(-1) }));
  return withSegments({ ...view, catalogue: { ...catalogue, segments, marks } }, () => true);
}

function isMarked({ catalogue }: SweepView, { history, upTo }: SegmentRecord): boolean {
  return catalogue.marks.some(({ mark }) => {
    const position = mark.positions[history];
    return position?.lineage === upTo.lineage && position.order >= upTo.order;
  });
}

const sweeps: Readonly<Record<string, ArchiveProtocol>> = {
  'a sweep takes no notice of segments': sweepOver((view) => withSegments(view, () => false)),
  'a sweep takes the log after the last mark': sweepOver((view) =>
    withSegments(view, (segment) => isMarked(view, segment)),
  ),
  'a sweep takes packs and bodies of segments': sweepOver((view) => ({
    ...view,
    catalogue: { ...view.catalogue, segments: [] },
  })),
  'a sweep counts on what may be taken back': sweepOver(withoutDoubt),
  'a sweep takes no notice of marks': sweepOver((view) => ({ ...view, catalogue: { ...view.catalogue, marks: [] } })),
};

export const archiveMutants: readonly ArchiveMutant[] = Object.entries({ ...writers, ...restores, ...sweeps }).map(
  ([name, protocol]) => ({ name, protocol }),
);
