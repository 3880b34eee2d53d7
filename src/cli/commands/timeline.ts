import type { TimelineResult } from '../../app/results.ts';
import { timeline as readTimeline } from '../../app/timeline.ts';
import { withReader } from '../application.ts';
import type { Command } from '../command.ts';
import { DONE, FINDINGS } from '../exit-status.ts';
import type { timelineSpec } from '../table/looking.ts';
import { timelineText } from '../timeline-text.ts';

export const timeline: Command<typeof timelineSpec, TimelineResult> = {
  async run(context, { stores }, { from, to }) {
    const result = await withReader(context, async (application, reader) =>
      readTimeline(application, reader, { stores, from, to }),
    );
    const hasGap = result.stores.some(({ gaps }) => gaps.length > 0);
    return { result, status: hasGap ? FINDINGS : DONE };
  },
  print(result, printer) {
    for (const line of timelineText(result, printer)) printer.line(line);
  },
};
