import { resolve } from 'node:path';
import { connectorKind, laterSchemes, supportedSchemes } from '../connectors/registry.ts';
import type { ConnectorKind } from '../connectors/registry.ts';
import { nearest } from '../core/nearest.ts';

/** A value of the manifest, or what is wrong with it in words for the operator. */
export type Checked<T> = { readonly value: T } | { readonly mistake: string };

const LATER_REPOSITORY_SCHEMES: readonly string[] = ['s3', 'swift', 'gs', 'azure'];

const SCHEME = /^([a-z][a-z0-9+.-]*):(.*)$/s;

export type StoreLocation = { readonly kind: ConnectorKind; readonly scheme: string; readonly target: string };

/** Takes a store's URL apart. The target may hold a password in a scheme that is refused, so no message repeats it. */
export function locateStore(url: string, folder: string): Checked<StoreLocation> {
  const [, scheme, target] = SCHEME.exec(url) ?? [];
  const supported = supportedSchemes().join(', ');
  if (scheme === undefined || target === undefined) {
    return { mistake: `expected a kind and a place such as files:./data; supported: ${supported}` };
  }
  const kind = connectorKind(scheme);
  if (kind === undefined) {
    if (laterSchemes.includes(scheme)) return { mistake: `${scheme}: is not in this version; supported: ${supported}` };
    const meant = nearest(scheme, supportedSchemes());
    return {
      mistake: `${scheme}: is unknown; ${meant === undefined ? `supported: ${supported}` : `did you mean ${meant}:?`}`,
    };
  }
  if (kind.target === 'server') return { value: { kind, scheme, target } };
  const path = locatePath(target, folder);
  return 'mistake' in path ? path : { value: { kind, scheme, target: path.value } };
}

/** The absolute path of a repository's folder. */
export function locateRepository(url: string, folder: string): Checked<string> {
  const [, scheme] = SCHEME.exec(url) ?? [];
  if (scheme === undefined) return locatePath(url, folder);
  if (LATER_REPOSITORY_SCHEMES.includes(scheme)) {
    return { mistake: `${scheme}: is not in this version; supported: the path of a folder` };
  }
  return { mistake: `${scheme}: is unknown; a repository is the path of a folder, ./NAME where it has a colon` };
}

/** `path` from `folder` on, which is absolute. */
export function locatePath(path: string, folder: string): Checked<string> {
  if (path === '') return { mistake: 'expected a path' };
  if (path.includes('\0')) return { mistake: 'a path can’t hold the character NUL' };
  if (/^~(?:\/|$)/.test(path)) return { mistake: '~ stands for nothing here; write the path from / on' };
  if (path.startsWith('//')) return { mistake: 'a path begins with one /, without a host' };
  return { value: resolve(folder, path) };
}
