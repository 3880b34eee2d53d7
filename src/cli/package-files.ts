/**
 * Where a file of this package lies. Modules of this folder lie two folders below the package, as sources and as the parts that are built of them;
 * modules of the folders in it do not.
 */
export function packageFile(path: string): URL {
  return new URL(`../../${path}`, import.meta.url);
}
