import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { parseUsage } from '../../bench/harness/measure.ts';
import { orderOfTurn, quantileOf, spreadOf } from '../../bench/harness/statistics.ts';
import { plotPanels } from '../../bench/report/line-plot.ts';
import { markdownTable, plainTable, sizeText, timeText } from '../../bench/report/text.ts';
import { withPrerequisites } from '../../bench/scenarios.ts';
import type { Scenario, ScenarioSample } from '../../bench/scenarios.ts';
import { judge } from '../../bench/targets.ts';

function sampleOf(tool: string, scenario: Scenario, round: number, wallMs: number): ScenarioSample {
  return { tool, scenario, round, wallMs, userMs: wallMs / 2, systemMs: wallMs / 4, peakRssBytes: 100 * 1_048_576 };
}

test('a spread has the middle of an even number of samples too', () => {
  assert.deepEqual(spreadOf([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4, samples: 4 });
  assert.deepEqual(spreadOf([5, 1, 9]), { median: 5, min: 1, max: 9, samples: 3 });
  assert.throws(() => spreadOf([]));
});

test('a quantile is a sample that no more than the rest exceed', () => {
  const values = Array.from({ length: 100 }, (_, i) => i + 1);
  assert.equal(quantileOf(values, 0.99), 99);
  assert.equal(quantileOf([7], 0.99), 7);
});

test('over six turns each of three tools has each place twice', () => {
  const turns = Array.from({ length: 6 }, (_, turn) => orderOfTurn(['a', 'b', 'c'], turn));
  for (const place of [0, 1, 2]) {
    const there = turns.map((order) => order[place]);
    for (const tool of ['a', 'b', 'c']) assert.equal(there.filter((name) => name === tool).length, 2);
  }
  assert.equal(new Set(turns.map((order) => order.join(''))).size, 6);
});

test('usage is read from the last line of GNU time, also after a failure', () => {
  const usage = parseUsage('Command exited with non-zero status 3\n1.50 0.25 2048\n');
  assert.deepEqual(usage, { userMs: 1_500, systemMs: 250, peakRssBytes: 2_048 * 1_024 });
});

test('targets are judged by medians, with the range over the rounds', () => {
  const samples = [
    sampleOf('restic', 'restore', 0, 4_000),
    sampleOf('tidemark', 'restore', 0, 1_000),
    sampleOf('restic', 'restore', 1, 4_000),
    sampleOf('tidemark', 'restore', 1, 2_000),
    sampleOf('restic', 'restore', 2, 4_000),
    sampleOf('tidemark', 'restore', 2, 4_000),
  ];
  const verdicts = judge(samples);
  assert.deepEqual(
    verdicts.map(({ target, value, rounds, meetsMust, meetsAim }) => [target.what, value, rounds, meetsMust, meetsAim]),
    [['full restore: times faster than restic', 2, [4, 2, 1], true, false]],
  );
});

test('what was not measured is not judged', () => {
  assert.deepEqual(judge([sampleOf('restic', 'first', 0, 1_000), sampleOf('borg', 'first', 0, 1_000)]), []);
});

test('a scenario brings along those it stands on', () => {
  assert.deepEqual([...withPrerequisites(['delta'])].sort(), ['delta', 'first', 'restore']);
});

test('tables keep columns together and figures have units', () => {
  const table = {
    title: 'T',
    columns: ['tool', 'time'],
    rows: [
      ['a', '1 s'],
      ['long', '10 s'],
    ],
  };
  assert.equal(plainTable(table), 'T\ntool  time\na      1 s\nlong  10 s');
  assert.equal(markdownTable(table), '| tool | time |\n| --- | ---: |\n| a | 1 s |\n| long | 10 s |');
  assert.deepEqual(
    [timeText(12_345), timeText(1_234), timeText(123), timeText(1.23)],
    ['12.3 s', '1.23 s', '123 ms', '1.2 ms'],
  );
  assert.deepEqual(
    [sizeText(512), sizeText(5 * 1_048_576), sizeText(23 * 1_073_741_824)],
    ['0.5 KiB', '5.0 MiB', '23.0 GiB'],
  );
});

test('a plot puts decades on a line through the corners of its axes', () => {
  const series = [
    {
      name: 'a & b',
      points: [
        [1, 10],
        [10, 100],
        [100, 1_000],
      ] as const,
    },
  ];
  const picture = plotPanels([{ title: 'growth', xLabel: 'x', yLabel: 'y', series }]);
  const line = /points="([^"]+)"/
    .exec(picture)?.[1]
    ?.split(' ')
    .map((point) => point.split(',').map(Number));
  assert.deepEqual(line, [
    [84, 272],
    [337, 156],
    [590, 40],
  ]);
  assert.match(picture, />a &amp; b</);
});
