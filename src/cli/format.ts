const SIZES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;
/** Setuid, setgid and sticky, with the place of the letter that they change. */
const SPECIAL_BITS = [
  [0o4000, 's', 2],
  [0o2000, 's', 5],
  [0o1000, 't', 8],
] as const;
const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** `0 B`, `1.5 KiB`, `12 MiB`: three digits, cut and not rounded up, so that nothing looks complete before it is. */
export function formatSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < SIZES.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const text = value < 10 && unit > 0 ? (Math.floor(value * 10) / 10).toFixed(1) : String(Math.floor(value));
  return `${text} ${SIZES[unit] ?? 'B'}`;
}

/** `12,345` */
export function formatCount(count: number): string {
  return String(Math.floor(count)).replace(/(?<=\d)(?=(?:\d{3})+$)/g, ',');
}

/** `1 file`, `12,345 files` */
export function formatNumberOf(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

/** `85 ms`, `4.2 s`, `3 min 5 s`, `2 h 10 min`, `14 d 3 h` */
export function formatDuration(ms: number): string {
  if (ms < SECOND_MS) return `${Math.floor(ms)} ms`;
  if (ms < 10 * SECOND_MS) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
  if (ms < MINUTE_MS) return `${Math.floor(ms / SECOND_MS)} s`;
  if (ms < HOUR_MS) return twoUnits(ms, { large: MINUTE_MS, small: SECOND_MS, names: ['min', 's'] });
  if (ms < DAY_MS) return twoUnits(ms, { large: HOUR_MS, small: MINUTE_MS, names: ['h', 'min'] });
  return twoUnits(ms, { large: DAY_MS, small: HOUR_MS, names: ['d', 'h'] });
}

/** One unit, cut: `5 s`, `85 s`, `110 min`, `2 h`, `47 h`, `14 d`. */
export function formatAge(ms: number): string {
  if (ms < SECOND_MS) return formatDuration(ms);
  if (ms < 2 * MINUTE_MS) return `${Math.floor(ms / SECOND_MS)} s`;
  if (ms < 2 * HOUR_MS) return `${Math.floor(ms / MINUTE_MS)} min`;
  if (ms < 2 * DAY_MS) return `${Math.floor(ms / HOUR_MS)} h`;
  return `${formatCount(ms / DAY_MS)} d`;
}

/** `42%`, cut and not rounded up. */
export function formatShare(share: number): string {
  return `${Math.floor(Math.min(Math.max(share, 0), 1) * 100)}%`;
}

/** Writes times as `2026-11-20 14:05:00` in a zone. */
export function createTimeFormat(zone: string): (time: string | number) => string {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  });
  return (time) => {
    const parts = new Map(format.formatToParts(new Date(time)).map(({ type, value }) => [type, value]));
    const part = (type: Intl.DateTimeFormatPartTypes): string => parts.get(type) ?? '';
    return `${part('year')}-${part('month')}-${part('day')} ${part('hour')}:${part('minute')}:${part('second')}`;
  };
}

/** Writes times as `2026-11-20 14:05:00.123` in a zone: to the millisecond, as the times of marks are, so that one that is given back means the same. */
export function createMomentFormat(zone: string): (time: string | number) => string {
  const format = createTimeFormat(zone);
  return (time) => `${format(time)}.${String(new Date(time).getUTCMilliseconds()).padStart(3, '0')}`;
}

/** Permission bits as `ls -l` shows them, without the type: `s` and `t` for setuid, setgid and sticky, in capitals where nobody may execute. */
export function formatMode(mode: number): string {
  const letters = Array.from('rwxrwxrwx', (letter, index) => ((mode >> (8 - index)) & 1 ? letter : '-'));
  for (const [bit, letter, at] of SPECIAL_BITS) {
    if ((mode & bit) !== 0) letters[at] = letters[at] === '-' ? letter.toUpperCase() : letter;
  }
  return letters.join('');
}

function twoUnits(
  ms: number,
  {
    large,
    small,
    names,
  }: { readonly large: number; readonly small: number; readonly names: readonly [string, string] },
): string {
  const rest = Math.floor((ms % large) / small);
  return `${Math.floor(ms / large)} ${names[0]}${rest === 0 ? '' : ` ${rest} ${names[1]}`}`;
}
