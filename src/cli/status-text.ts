import type { StatusResult, StatusStoreResult, StoreState } from '../app/results.ts';
import { printable } from '../core/printable.ts';
import { formatAge, formatDuration, formatSize } from './format.ts';
import { agreementText, stateText } from './mark-text.ts';
import { tableLines } from './printer.ts';
import type { Printer, Style } from './printer.ts';
import { cut, hanging, padded, widthOf } from './text-width.ts';

const LEAST_COLUMNS = 20;
/** Store names are cut down to this where the table would be too wide otherwise. */
const SHORTEST_NAME = 8;

const WELL = 'All stores are being recorded, and nothing needs you.';

const OWN_ONLY = 'this host’s own credential: what other hosts wrote, and what was proven, is not known';

/** What lines are laid out for. */
type Look = Pick<Printer, 'columns' | 'unicode' | 'paint' | 'time'>;

type Page = Look & { readonly now: string; readonly absent: Absent };

/** What stands for what is not there: where the repository can't be asked nobody knows. */
type Absent = { readonly base: string; readonly window: string };

/** How everything runs at `result.at`: ages count from it. No line is wider than `columns`, of which there are at least 20. */
export function statusText(result: StatusResult, printer: Look): readonly string[] {
  const { unicode, paint, time } = printer;
  const { reachable } = result.repository;
  const absent = reachable ? { base: 'none', window: 'nothing yet' } : { base: 'unknown', window: 'unknown' };
  const columns = Math.max(printer.columns, LEAST_COLUMNS);
  const page: Page = { columns, unicode, paint, time, now: result.at, absent };
  const troubles = alarmLines(result, page);
  const isRecorded = result.up !== undefined && result.stores.every(({ state }) => state === 'recording');
  const isWell = isRecorded && reachable && troubles.length === 0;
  return [
    ...headLines(result, page),
    ...(result.stores.length === 0 ? [] : ['', ...storeLines(result.stores, page)]),
    ...(troubles.length > 0 ? ['', ...troubles] : []),
    ...(isWell ? ['', ...hanging('', WELL, page.columns).map((line) => paint('green', line))] : []),
  ];
}

/** What is unhealthy, each with what to do about it. */
export function alarmLines({ alarms }: StatusResult, page: Look): readonly string[] {
  return alarms.flatMap(({ store, message, hint }) => [
    ...hanging(
      `${page.paint('red', 'alarm')} `,
      `${store === undefined ? '' : `${printable(store)}: `}${printable(message)}`,
      page.columns,
    ),
    ...hanging('  ', printable(hint), page.columns),
  ]);
}

function headLines({ up, repository, lastMark, stores, keyRole }: StatusResult, page: Page): readonly string[] {
  const { columns, paint, time, now } = page;
  const heading =
    up === undefined
      ? hanging('', 'Not running: nothing is recorded. Start it with `tidemark up`.', columns).map((line) =>
          paint('yellow', line),
        )
      : hanging(
          '',
          `Up since ${time(up.startedAt)}, ${formatDuration(between(up.startedAt, now))}, process ${up.processId}`,
          columns,
        ).map((line) => paint('bold', line));
  const reached = repository.reachable ? '' : ` ${paint('red', 'unreachable')}`;
  const mark =
    lastMark === undefined
      ? `none yet${stores.length === 0 ? '' : ': nothing can be restored together'}`
      : `${ago(lastMark.at, page)}, ${shortTime(lastMark.at, page)}, ${lastMark.name ?? lastMark.id}, ${agreementText(lastMark)}, ${stateText(lastMark, page)}`;
  return [
    ...heading,
    ...hanging('repository  ', `${printable(repository.url)}${reached}`, columns),
    ...hanging('last mark   ', mark, columns),
    ...(keyRole === 'writer' ? hanging('seen with   ', OWN_ONLY, columns) : []),
  ];
}

const STATE_STYLES: Readonly<Record<StoreState, Style>> = {
  idle: 'dim',
  starting: 'cyan',
  recording: 'green',
  retrying: 'yellow',
};

/** The widest form that fits: whole times, then short ones, then names that are cut, then a block of lines a store. */
function storeLines(stores: readonly StatusStoreResult[], page: Page): readonly string[] {
  const excess = (lines: readonly string[]): number => Math.max(...lines.map(widthOf)) - page.columns;
  const names = stores.map(({ store }) => printable(store));
  const whole = storeTable({ stores, names, time: page.time }, page);
  if (excess(whole) <= 0) return whole;
  const time = (at: string): string => shortTime(at, page);
  const short = storeTable({ stores, names, time }, page);
  if (excess(short) <= 0) return short;
  const nameWidth = Math.max(...names.map(widthOf)) - excess(short);
  if (nameWidth >= SHORTEST_NAME) {
    const ellipsis = page.unicode ? '…' : '~';
    return storeTable({ stores, names: names.map((name) => cut(name, nameWidth, ellipsis)), time }, page);
  }
  return stores.flatMap((store, index) => [...(index === 0 ? [] : ['']), ...storeBlock(store, page)]);
}

type Form = {
  readonly stores: readonly StatusStoreResult[];
  readonly names: readonly string[];
  readonly time: (at: string) => string;
};

/** Two lines a store: what is newer stands above. */
function storeTable({ stores, names, time }: Form, page: Page): readonly string[] {
  const { paint, absent } = page;
  const bases = pairs(
    stores.map(({ lastBaseAt, nextBaseAt }) => [lastBaseAt, nextBaseAt]),
    { time, absent: [absent.base, 'none'] },
    page,
  );
  const windows = pairs(
    stores.map(({ window }) => [window?.from, window?.to]),
    { time, absent: [absent.window, ''] },
    page,
  );
  const rows = stores.flatMap(({ state, lagMs, spooledBytes }, index) => [
    [
      names[index] ?? '',
      paint(STATE_STYLES[state], state),
      formatSize(spooledBytes),
      bases[index]?.[0] ?? '',
      windows[index]?.[0] ?? '',
    ],
    ['', lagText(lagMs), '', bases[index]?.[1] ?? '', windows[index]?.[1] ?? ''],
  ]);
  return tableLines(
    [
      { title: 'store' },
      { title: 'state' },
      { title: 'spooled', align: 'right' },
      { title: 'last base, next' },
      { title: 'restorable from, to' },
    ],
    rows,
    paint,
  );
}

/** Ages and times of a column, each aligned within it. `absent`: what stands for the first and the second where there is none. */
function pairs(
  moments: readonly (readonly (string | undefined)[])[],
  { time, absent }: { readonly time: Form['time']; readonly absent: readonly [string, string] },
  page: Page,
): readonly (readonly string[])[] {
  const shown = moments.map((pair) =>
    pair.map((at) => (at === undefined ? undefined : { age: ago(at, page), time: time(at) })),
  );
  const all = shown.flat().filter((cell) => cell !== undefined);
  const ageWidth = Math.max(0, ...all.map(({ age }) => widthOf(age)));
  const timeWidth = Math.max(0, ...all.map((cell) => widthOf(cell.time)));
  return shown.map((pair) =>
    pair.map((cell, index) =>
      cell === undefined
        ? (absent[index] ?? '')
        : `${padded(cell.age, ageWidth)}  ${padded(cell.time, timeWidth, 'right')}`,
    ),
  );
}

function storeBlock(store: StatusStoreResult, page: Page): readonly string[] {
  const { columns, paint, absent } = page;
  const moment = (at: string | undefined, otherwise = 'none'): string =>
    at === undefined ? otherwise : `${ago(at, page)}, ${shortTime(at, page)}`;
  const facts = [
    ['state', `${paint(STATE_STYLES[store.state], store.state)}, ${lagText(store.lagMs)}`],
    ['spooled', formatSize(store.spooledBytes)],
    ['last base', moment(store.lastBaseAt, absent.base)],
    ['next base', moment(store.nextBaseAt)],
    ['restorable', store.window === undefined ? absent.window : `from ${moment(store.window.from)}`],
    ...(store.window === undefined ? [] : [['', `to ${moment(store.window.to)}`]]),
  ];
  return [
    ...hanging('', printable(store.store), columns).map((line) => paint('bold', line)),
    ...facts.flatMap(([name = '', text = '']) => hanging(`  ${padded(name, 'restorable'.length)}  `, text, columns)),
  ];
}

function lagText(lagMs: number | undefined): string {
  return lagMs === undefined ? 'lag unknown' : `${lagMs < 10_000 ? formatDuration(lagMs) : formatAge(lagMs)} behind`;
}

/** `11 h ago`, `in 12 h`. */
function ago(at: string, { now }: Page): string {
  const ageMs = between(at, now);
  if (Math.abs(ageMs) < 1000) return 'now';
  return ageMs > 0 ? `${formatAge(ageMs)} ago` : `in ${formatAge(-ageMs)}`;
}

/** What tells it apart: the time of a moment today, the day and minute within this year, else the day. */
function shortTime(at: string, { time, now }: Page): string {
  const [text, today] = [time(at), time(now)];
  if (text.slice(0, 10) === today.slice(0, 10)) return text.slice(11);
  return text.slice(0, 4) === today.slice(0, 4) ? text.slice(5, 16) : text.slice(0, 10);
}

function between(from: string, to: string): number {
  return Date.parse(to) - Date.parse(from);
}
