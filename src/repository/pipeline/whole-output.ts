/** Of a zstd frame that holds so many bytes: it is opened in one step, and no more comes of it. */
export function wholeOutput(plainBytes: number): { readonly maxOutputLength: number; readonly chunkSize: number } {
  return {
    maxOutputLength: Math.max(1, plainBytes),
    // Node takes no less than 64. One byte more than needed, else another round only finds out that it was the end.
    chunkSize: Math.max(64, plainBytes + 1),
  };
}
