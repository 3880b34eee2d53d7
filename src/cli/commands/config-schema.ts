import { readFile } from 'node:fs/promises';
import type { Command } from '../command.ts';
import { packageFile } from '../package-files.ts';
import type { configSchemaSpec } from '../table/setting-up.ts';

/** Where the schema lies: in a file that is generated with the reference pages, so that printing it needs no other code. */
export const schemaUrl = packageFile('schema/tidemark.schema.json');

export const configSchema: Command<typeof configSchemaSpec, { readonly schema: unknown }> = {
  async run() {
    return { result: { schema: JSON.parse(await readFile(schemaUrl, 'utf8')) as unknown } };
  },
  print({ schema }, printer) {
    printer.line(JSON.stringify(schema, null, 2));
  },
};
