import type { Command } from '../command.ts';
import type { catSpec } from '../table/restoring.ts';
import { readAt, typedPath } from '../../app/browse.ts';
import { withReader } from '../application.ts';

export const cat: Command<typeof catSpec, { readonly bytes: number }> = {
  async run(context, { target, store, path }) {
    const request = { target, store, path: typedPath(path) };
    const bytes = await withReader(context, async (application, reader) => {
      let count = 0;
      for await (const piece of readAt(application, reader, request, context.run)) {
        await context.writeBytes(piece);
        count += piece.byteLength;
      }
      return count;
    });
    return { result: { bytes } };
  },
  /** The bytes are written as they come; there is nothing to add. */
  print: () => undefined,
};
