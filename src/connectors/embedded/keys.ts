/** Text is UTF-8; lone surrogates have none. @throws TypeError */
export function textBytes(text: string | Uint8Array): Uint8Array {
  if (typeof text !== 'string') return text;
  if (!text.isWellFormed()) throw new TypeError('a text with a lone surrogate has no bytes');
  return Buffer.from(text);
}

/** @throws TypeError for an empty key */
export function keyBytes(key: string | Uint8Array): Uint8Array {
  const bytes = textBytes(key);
  if (bytes.byteLength === 0) throw new TypeError('a key has at least one byte');
  return bytes;
}

/** The least key after all that begin with the prefix; undefined when there is none. */
export function endOfPrefix(prefix: Uint8Array): Uint8Array | undefined {
  let length = prefix.byteLength;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const end = Uint8Array.from(prefix.subarray(0, length));
  end[length - 1] = (end[length - 1] ?? 0) + 1;
  return end;
}
