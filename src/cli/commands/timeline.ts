import type { TimelineResult } from '../../app/results.ts';
import { timeline as readTimeline } from '../../app/timeline.ts';
import { openApplication } from '../application.ts';
import type { Command } from '../command.ts';
import { DONE, FINDINGS } from '../exit-status.ts';
import type { timelineSpec } from '../table/looking.ts';
import { timelineText } from '../timeline-text.ts';

export const timeline: Command<typeof timelineSpec, TimelineResult> = {
  async run(context, { stores }, { from, to }) {
    await using application = await openApplication(context);
    const result = await readTimeline(application, { stores, from, to }, context.run);
    const hasGap = result.stores.some(({ gaps }) => gaps.length > 0);
    return { result, status: hasGap ? FINDINGS : DONE };
  },
  print(result, printer) {
    for (const line of timelineText(result, printer)) printer.line(line);
  },
};
