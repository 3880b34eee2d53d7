/** What is needed of the global, for which neither the language's nor Node's types have a declaration. */
type WasmModule = { readonly module: unique symbol };
declare const WebAssembly:
  | {
      readonly Module: new (code: Uint8Array) => WasmModule;
      readonly Instance: new (module: WasmModule) => { readonly exports: unknown };
    }
  | undefined;

/**
 * Makes instances of a module of our own, given as it was compiled, in base64; `Exports` is what its source says. It is compiled at the first. Undefined
 * where the machine has no WebAssembly.
 */
export function wasmInstances<Exports>(code: string): () => Exports | undefined {
  let compiled: WasmModule | undefined;
  return () => {
    if (typeof WebAssembly !== 'object') return undefined;
    compiled ??= new WebAssembly.Module(Buffer.from(code, 'base64'));
    const { exports } = new WebAssembly.Instance(compiled);
    // Whoever names the code knows its source.
    return exports as Exports;
  };
}
