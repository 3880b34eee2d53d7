import { TidemarkError } from '../core/errors.ts';
import { quoted } from '../core/printable.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import { isoTime } from './shown.ts';
import { parseTargetTime } from './target.ts';

export type MarkLabels = { readonly name?: string | undefined; readonly tags: readonly string[] };

const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const MARK_ID = /^[0-9]{8}-[0-9]{6}-[0-9a-f]{4,32}$/;
const TAG = /^[\p{L}\p{N}._:@/+=-]{1,64}$/u;

/** @throws USAGE for a name or tag that could not be told from something else later */
export function refuseLabels({ name, tags }: MarkLabels): void {
  const tag = tags.find((text) => !TAG.test(text));
  if (tag !== undefined) {
    throw new TidemarkError('USAGE', `the tag ${quoted(tag)} is not one`, {
      hint: 'A tag is made of at most 64 letters, digits and . _ : @ / + = -',
    });
  }
  if (name === undefined) return;
  if (!NAME.test(name)) {
    throw new TidemarkError('USAGE', `the name ${quoted(name)} is not one`, {
      hint: 'A name is made of at most 63 of a-z, 0-9 and -, as in before-upgrade.',
    });
  }
  const isTime = parseTargetTime(name, { nowMs: 0, timezone: 'UTC' }) !== undefined;
  if (name === 'latest' || isTime || MARK_ID.test(name)) {
    throw new TidemarkError('USAGE', `a mark can’t be called ${name}: as a target that means something else`);
  }
}

/**
 * A name is a target, so it belongs to one mark. Where this host can't read marks, or two backups run at once, a name may still come twice:
 * then it is an ambiguous target. @throws USAGE
 */
export function refuseUsedName(catalogue: Catalogue, { name }: MarkLabels): void {
  const used = name === undefined ? undefined : catalogue.marks.find(({ mark }) => mark.name === name)?.mark;
  if (used === undefined) return;
  throw new TidemarkError('USAGE', `there is a mark ${name} already: ${used.id} of ${isoTime(used.atMs)}`, {
    hint: 'Choose another name; for what comes again and again use --tag.',
  });
}
