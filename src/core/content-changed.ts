/** What was read is not what had been described: it changed in between, so the entry has to be described and read again. */
export class ContentChangedError extends Error {
  override readonly name = 'ContentChangedError';
}
