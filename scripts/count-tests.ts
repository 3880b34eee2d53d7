/** A reporter of node:test that writes the counts of the whole run as JSON, for scripts/run-tests.ts to add up. */
import type { TestEvent } from 'node:test/reporters';

export type TestCounts = {
  readonly tests: number;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
};

export default async function* countTests(source: AsyncIterable<TestEvent>): AsyncGenerator<string, void> {
  let emptyFiles = 0;
  for await (const event of source) {
    // A file without a test is told as one that passed, under the file's own name.
    if (event.type === 'test:pass' && event.data.nesting === 0 && event.data.name.endsWith('.test.ts')) emptyFiles++;
    if (event.type !== 'test:summary' || event.data.file !== undefined) continue;
    const { counts } = event.data;
    const tests = counts.tests - emptyFiles;
    const passed = counts.passed - emptyFiles;
    const skipped = counts.skipped + counts.todo;
    yield JSON.stringify({ tests, passed, failed: tests - passed - skipped, skipped } satisfies TestCounts);
  }
}
