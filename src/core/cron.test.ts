import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cronMistake, cronTimes, longestPauseMs } from './cron.ts';

test('schedules of five fields are right', () => {
  const right = [
    '0 3 * * *',
    '*/15 * * * *',
    '0 0 1,15 * MON-FRI',
    '59 23 31 12 7',
    '5-50/5 0 * jan sun',
    ' 0\t3 * * * ',
  ];
  for (const schedule of right) assert.equal(cronMistake(schedule), undefined, schedule);
});

test('a mistake is explained by its field', () => {
  const fields = 'expected a schedule of five fields such as 0 3 * * * (minute, hour, day, month, day of the week)';
  const wrong = {
    '': fields,
    '0 3 * *': fields,
    '0 0 3 * * *': fields,
    '60 * * * *': 'minute: 60 is outside of 0 to 59',
    '* 24 * * *': 'hour: 24 is outside of 0 to 23',
    '* * 0 * *': 'day of the month: 0 is outside of 1 to 31',
    '* * * 13 *': 'month: 13 is outside of 1 to 12',
    '* * * * 8': 'day of the week: 8 is outside of 0 to 7',
    '* * * * FRIDAY': 'day of the week: "FRIDAY" is not understood',
    '*/0 * * * *': 'minute: the step in "*/0" must be a number above 0',
    '*/x * * * *': 'minute: the step in "*/x" must be a number above 0',
    '1/2/3 * * * *': 'minute: "1/2/3" is not understood',
    '30-10 * * * *': 'minute: "30-10" runs backwards',
    '1,,2 * * * *': 'minute: "" is not understood',
    '-5 * * * *': 'minute: "-5" is not understood',
  };
  for (const [schedule, mistake] of Object.entries(wrong)) assert.equal(cronMistake(schedule), mistake, schedule);
});

test('the longest time between two moments of a schedule', () => {
  const hours = {
    '0 3 * * *': 24,
    '*/15 * * * *': 0.25,
    '7/20 * * * *': 1 / 3,
    '0 9-17 * * *': 16,
    '0 3 * * SUN': 7 * 24,
    '0 3 * * 7': 7 * 24,
    '30 3,15 * * MON-FRI': 60,
    '0 0 1 * *': 31 * 24,
    '0 0 1,15 * MON': 7 * 24,
    '0 0 29 2 *': (4 * 365 + 1) * 24,
    '0 0 31 2 *': Infinity,
  };
  for (const [schedule, expected] of Object.entries(hours)) {
    assert.equal(longestPauseMs(schedule), Math.round(expected * 3_600_000), schedule);
  }
});

test('a day counts that fits either of two restricted fields, or the one that is restricted', () => {
  const friday = { month: 3, dayOfMonth: 5, weekday: 5 };
  const days = {
    '* * 5 * MON': true,
    '* * 6 * FRI': true,
    '* * 6 * *': false,
    '* * * * MON': false,
    '* * 5 4 *': false,
  };
  for (const [schedule, expected] of Object.entries(days)) {
    assert.equal(cronTimes(schedule).isDay(friday), expected, schedule);
  }
  assert.deepEqual([...cronTimes('1-10/3,50 * * jan *').minutes], [1, 4, 7, 10, 50]);
});
