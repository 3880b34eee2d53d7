/**
 * Runs the program `main`: interrupts abort its signal, so that what it mounted is unmounted; an error is printed and
 * ends with 1.
 */
export async function runMain(main: (args: readonly string[], signal: AbortSignal) => Promise<void>): Promise<void> {
  const interrupted = new AbortController();
  process.once('SIGINT', () => interrupted.abort());
  process.once('SIGTERM', () => interrupted.abort());
  try {
    await main(process.argv.slice(2), interrupted.signal);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
