import { exitStatuses } from '../../src/cli/exit-status.ts';
import { errorCodes } from '../../src/core/error-codes.ts';
import { GENERATED, row } from './markdown.ts';

export function errorsPage(): string {
  const codes = Object.entries(errorCodes).toSorted(([left], [right]) => (left < right ? -1 : 1));
  return [
    GENERATED,
    '# Errors and exit statuses',
    '',
    'An error is one line on standard error and one that says what to do. With `--json` it is also the last line of standard output: `{"type":"error","code":…,"message":…,"hint":…,"where":…,"warnings":[…]}`, with what was warned of before it failed. Mistakes in a manifest are a line each, with `mistakes` in the object.',
    '',
    '## Exit statuses',
    '',
    row('status', 'means'),
    row('---', '---'),
    ...exitStatuses.map(([status, says]) => row(status, says)),
    '',
    'Where several apply, the most serious is told: 5, 6, 7, 8, 4, 1, 3.',
    '',
    '## Codes',
    '',
    row('code', 'status', 'means', 'what to do'),
    row('---', '---', '---', '---'),
    ...codes.map(([code, { exit, meaning, action }]) => row(`\`${code}\``, String(exit), meaning, action)),
    '',
  ].join('\n');
}
