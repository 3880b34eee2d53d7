import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cronMistake, plainCron } from './cron.ts';

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

test('in plain words a schedule has numbers and stars only', () => {
  const plain = {
    '0 3 * * *': '0 3 * * *',
    ' 5-50/15,7\t0-3 1,15 jan-MAR,12 MON-fri ': '5,20,35,50,7 0,1,2,3 1,15 1,2,3,12 1,2,3,4,5',
    '50/4 22/1 */1 */5 sun,7': '50,54,58 22,23 * */5 0,7',
    '*/60 */24 */31 */12 */7': '*/60 */24 */31 */12 */7',
    '*/61 */9999 */32 */13 */8': '*/60 */24 */31 */12 */7',
    '*,3 1-1 2-3/9 * *': '*,3 1 2 * *',
  };
  for (const [schedule, fields] of Object.entries(plain)) assert.equal(plainCron(schedule).join(' '), fields, schedule);
});
