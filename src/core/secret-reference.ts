/** Where a secret is, never the secret itself. `command` is a program and its arguments; its first line of output is the secret. */
export type SecretReference =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'command'; readonly command: readonly string[] };

/** The reference that a manifest's `…File`, `…Env` and `…Command` keys give; undefined when none of them is there. */
export function secretReference(fields: {
  readonly file?: string | undefined;
  readonly env?: string | undefined;
  readonly command?: readonly string[] | undefined;
}): SecretReference | undefined {
  if (fields.file !== undefined) return { kind: 'file', path: fields.file };
  if (fields.env !== undefined) return { kind: 'variable', name: fields.env };
  if (fields.command !== undefined) return { kind: 'command', command: fields.command };
  return undefined;
}
