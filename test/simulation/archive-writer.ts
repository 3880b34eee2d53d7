import type { RepositoryWriter } from '../../src/repository/writer.ts';

/** The writer with some methods done otherwise. */
export function withMethods(writer: RepositoryWriter, methods: Partial<RepositoryWriter>): RepositoryWriter {
  return new Proxy(writer, {
    get(target, name) {
      const own: unknown = Reflect.get(methods, name);
      if (own !== undefined) return own;
      const value: unknown = Reflect.get(target, name, target);
      // Its private fields are its own, not the proxy's. `await using` takes no bound function.
      return typeof value === 'function'
        ? (...values: unknown[]): unknown => Reflect.apply(value, target, values)
        : value;
    },
  });
}
