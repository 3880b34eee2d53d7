import { readAt } from '../../app/browse.ts';
import { parseNameText } from '../../core/byte-name.ts';
import { TidemarkError } from '../../core/errors.ts';
import { withReader } from '../application.ts';
import type { Command } from '../command.ts';
import type { catSpec } from '../table/restoring.ts';

export const cat: Command<typeof catSpec, { readonly bytes: number }> = {
  async run(context, { target, store, path }) {
    if (context.options.json) {
      throw new TidemarkError('USAGE', 'cat prints the file itself, so --json does not fit', {
        hint: 'Leave out --json; `tidemark ls --json` tells of the file.',
      });
    }
    const request = { target, store, path: parseNameText(path) };
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
