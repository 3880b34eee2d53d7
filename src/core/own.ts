/** What a record has under a key of its own. Names such as `constructor` are found in every object, and are names of stores as well. */
export function own<Value>(record: Readonly<Record<string, Value>> | undefined, key: string): Value | undefined {
  return record !== undefined && Object.hasOwn(record, key) ? record[key] : undefined;
}
