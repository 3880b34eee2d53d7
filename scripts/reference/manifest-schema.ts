import { connectorKinds } from '../../src/connectors/registry.ts';
import type { ConnectorKind } from '../../src/connectors/registry.ts';
import type { JsonSchema } from '../../src/core/option-schema.ts';
import { commonStoreOptions, manifestOptions, repositoryOptions, storeOptions } from '../../src/config/schema.ts';

/** The JSON Schema of a manifest as it is written, short forms included, for editors. Draft 7 is what they understand best. */
export async function manifestJsonSchema(): Promise<JsonSchema> {
  const { jsonSchema, options } = manifestOptions;
  const stores = await Promise.all(connectorKinds.map(longForm));
  const { url } = repositoryOptions.options;
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'The manifest of an application that Tidemark backs up',
    ...jsonSchema,
    properties: {
      ...(jsonSchema['properties'] as JsonSchema),
      repository: {
        description: options.repository.says,
        anyOf: [{ ...url.type.jsonSchema, description: url.says }, repositoryOptions.jsonSchema],
      },
      stores: {
        ...options.stores.type.jsonSchema,
        description: options.stores.says,
        additionalProperties: { anyOf: [shortForm(), ...stores] },
      },
    },
  };
}

function shortForm(): JsonSchema {
  const schemes = connectorKinds.flatMap((kind) => kind.schemes);
  return { type: 'string', pattern: `^(?:${schemes.join('|')}):`, description: commonStoreOptions.url.says };
}

async function longForm(kind: ConnectorKind): Promise<JsonSchema> {
  const schema = storeOptions(await kind.loadKeys()).jsonSchema;
  const url = { type: 'string', pattern: `^(?:${kind.schemes.join('|')}):`, description: commonStoreOptions.url.says };
  const properties = { ...(schema['properties'] as JsonSchema), url };
  return { description: `A store of the kind ${kind.name}: ${kind.summary}.`, ...schema, properties };
}
