import * as z from 'zod';
import { connectorKinds } from '../connectors/registry.ts';
import type { ConnectorKind } from '../connectors/registry.ts';
import { commonStoreOptions, manifestOptions, repositoryOptions, storeName } from './schema.ts';

/** Words for mistakes and marks for secrets: of no use to an editor. */
const OWN_META = ['expects', 'secret'];

/** The JSON Schema of a manifest as it is written, short forms included, for editors. Draft 7 is what they understand best. */
export async function manifestJsonSchema(): Promise<object> {
  const kinds = await Promise.all(connectorKinds.map(longForm));
  const manifest = manifestOptions.extend({
    repository: z
      .union([repositoryOptions.shape.url, repositoryOptions])
      .describe(describedAs(manifestOptions.shape.repository)),
    stores: z
      .record(storeName, z.union([commonStoreOptions.shape.url, ...kinds]))
      .describe(describedAs(manifestOptions.shape.stores)),
  });
  const { $schema, ...schema } = z.toJSONSchema(manifest, { io: 'input', target: 'draft-7', override: withoutOwnMeta });
  return { $schema, title: 'The manifest of an application that Tidemark backs up', ...schema };
}

async function longForm(kind: ConnectorKind): Promise<z.ZodObject> {
  const keys = await kind.loadKeys();
  const url = z
    .string()
    .regex(new RegExp(`^(?:${kind.schemes.join('|')}):`))
    .describe(describedAs(commonStoreOptions.shape.url));
  return commonStoreOptions
    .extend({ ...keys.shape, url })
    .strict()
    .describe(`A store of the kind ${kind.name}: ${kind.summary}.`);
}

function describedAs(schema: z.ZodType): string {
  return schema.description ?? '';
}

function withoutOwnMeta({ jsonSchema }: { jsonSchema: Record<string, unknown> }): void {
  for (const key of OWN_META) delete jsonSchema[key];
}
