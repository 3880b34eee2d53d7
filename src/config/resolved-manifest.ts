import { writeDuration, writeSize } from '../core/units.ts';
import type { Configuration } from './configuration.ts';

/**
 * The manifest that a repository keeps, so that a restore needs nothing else: JSON, which is YAML too, in the long form with
 * absolute paths. It names no secret and no source of one. `parseManifest` reads it back.
 */
export function resolvedManifestWithoutSecrets(configuration: Configuration): string {
  const { marks, flush, retention } = configuration;
  const { windowMs, ...counts } = retention;
  const manifest = {
    application: configuration.application,
    repository: configuration.repository.url,
    stores: Object.fromEntries(configuration.stores.map((store) => [store.name, { ...store.written, url: store.url }])),
    bases: configuration.bases,
    timezone: configuration.timezone,
    marks: { every: writeDuration(marks.everyMs) },
    flush: { after: writeDuration(flush.afterMs), size: writeSize(flush.sizeBytes) },
    retention: { window: writeDuration(windowMs), ...counts },
  };
  return `${JSON.stringify(manifest, null, 2)}\n`;
}
