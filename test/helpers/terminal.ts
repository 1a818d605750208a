import type { Terminal } from '../../scripts/command.ts';

/** A terminal for a command in the test's own process, and the lines that the command printed. */
export function fakeTerminal(signal: AbortSignal = new AbortController().signal) {
  const printed = { out: '', err: '' };
  const terminal: Terminal = {
    out(line) {
      signal.throwIfAborted();
      printed.out += `${line}\n`;
    },
    err(line) {
      printed.err += `${line}\n`;
    },
    signal,
  };
  return { terminal, printed };
}
