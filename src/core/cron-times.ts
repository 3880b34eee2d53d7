import { Cron } from 'croner';
import { cronMistake, plainCron } from './cron.ts';
import { assume } from './must.ts';

/*
 * Schedules mean what they mean to Vixie cron. Where both days are restricted, a day that fits either is meant; a field with a star restricts
 * nothing in that sense, whatever its step. A time of day that happens twice counts once, the first time; times that don't exist count at the
 * first moment after the gap, once for all that fall into it. Where the minute or the hour has a star, each minute counts that fits and that
 * clocks do show.
 */

/**
 * The first time after `afterMs` that a schedule without mistakes means, in a zone that exists, in milliseconds since 1970. Undefined when there is none:
 * 31 February.
 */
export function nextOccurrence(schedule: string, timezone: string, afterMs: number): number | undefined {
  return cronOf(schedule, timezone).nextRun(new Date(afterMs))?.getTime();
}

/** The last time that is not after `atMs`. As `nextOccurrence` else. */
export function previousOccurrence(schedule: string, timezone: string, atMs: number): number | undefined {
  // It wants a time that does not itself count, in whole seconds.
  const end = new Date((Math.floor(atMs / 1000) + 1) * 1000);
  return cronOf(schedule, timezone).previousRuns(1, end)[0]?.getTime();
}

function cronOf(schedule: string, timezone: string): Cron {
  assume(cronMistake(schedule) === undefined, 'a schedule that was checked');
  const fields = plainCron(schedule);
  const [, , dayOfMonth = '', , dayOfWeek = ''] = fields;
  return new Cron(fields.join(' '), {
    timezone,
    mode: '5-part',
    fixedTimeRule: 'no-wildcard',
    domAndDow: dayOfMonth.includes('*') || dayOfWeek.includes('*'),
  });
}
