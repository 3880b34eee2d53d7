/** Loaded with `--import` before a command: what it stores of files and folders of mode 0751 can't be decoded, as a fault in the code would have it. */
import { registerHooks } from 'node:module';

const TARGET = new URL('../../src/connectors/files/attributes.ts', import.meta.url).href;
const FROM = '  return writer.finish();';

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (url !== TARGET) return loaded;
    const { source } = loaded;
    const text = typeof source === 'string' ? source : Buffer.from(source as Uint8Array).toString('utf8');
    const parts = text.split(FROM);
    if (parts.length !== 2) throw new Error(`attributes.ts has ${parts.length - 1} times: ${FROM}`);
    return { ...loaded, source: parts.join(`  if (attributes.mode === 0o751) writer.u8(99);\n${FROM}`) };
  },
});
