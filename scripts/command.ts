import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ParseArgsConfig, parseArgs, styleText } from 'node:util';

/** The outputs of a command, and the signal that ends the command early. */
export interface Terminal {
  /**
   * Prints a line on standard output.
   * @throws the reason of `signal` once `signal` is aborted.
   */
  readonly out: (line: string) => void;
  /** Prints a line on standard error. */
  readonly err: (line: string) => void;
  /** Aborted by Ctrl-C, SIGTERM, SIGHUP, and when standard output can no longer be written. */
  readonly signal: AbortSignal;
}

/**
 * The main function of a command.
 * @returns the exit code.
 * @throws Error with one sentence for the user.
 */
export type Main = (args: readonly string[], environment: NodeJS.ProcessEnv, terminal: Terminal) => Promise<number>;

// Control characters, and format characters such as those that change the direction of writing. A terminal acts on them,
// or shows a text that differs from the actual one.
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/**
 * Text of messages and of other people's resources, for one line of a terminal. Each character that a terminal does not
 * print is replaced by a question mark. Add styles after this function, because it also replaces their characters.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, '?');
}

/** JSON with the characters that a terminal does not print as `\u` escapes. */
export function printableJson(value: unknown): string {
  const escaped = (code: number) => `\\u${code.toString(16).padStart(4, '0')}`;
  return JSON.stringify(value).replace(UNPRINTABLE, (character) =>
    Array.from({ length: character.length }, (_, index) => escaped(character.charCodeAt(index))).join(''),
  );
}

// Ctrl-C also ends the child processes. The command may see their end before it sees the signal.
const SIGNAL_DELAY_MS = 100;

/**
 * Runs a command in this process.
 * @param name as the user types it, such as `npm run drain`.
 * @param failureCode the exit code when the command throws.
 */
export async function runCommand(name: string, main: Main, failureCode = 1): Promise<void> {
  const end = new AbortController();
  const { signal } = end;

  function endEarly(reason: string, exitCode: number): void {
    if (signal.aborted) return;
    process.exitCode = exitCode;
    printError(reason);
    end.abort(new Error(reason));
  }
  function printError(reason: string): void {
    // A stack, and some errors, have several lines.
    const lines = `${name}: ${reason}`.split('\n').map(printable).join('\n');
    process.stderr.write(`${styleText('red', lines, { stream: process.stderr })}\n`);
  }

  for (const signalName of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signalName, () => endEarly('interrupted', 128 + constants.signals[signalName]));
  }
  // A fault of the command itself must not leave processes and folders behind.
  process.on('uncaughtException', (error) => endEarly(error.stack ?? String(error), failureCode));
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error) => endEarly(`the output cannot be written: ${error.message}`, failureCode));
  }
  const terminal: Terminal = {
    out(line) {
      signal.throwIfAborted();
      process.stdout.write(`${line}\n`);
    },
    err: (line) => void process.stderr.write(`${line}\n`),
    signal,
  };
  try {
    const exitCode = await main(process.argv.slice(2), process.env, terminal);
    if (!signal.aborted) process.exitCode = exitCode;
  } catch (error) {
    await sleep(SIGNAL_DELAY_MS);
    if (signal.aborted) return;
    process.exitCode = failureCode;
    printError(error instanceof Error ? error.message : String(error));
  }
}

// npm has options with these names, which users may have set for npm itself.
const NPM_OPTIONS = ['force', 'json', 'yes'];

/**
 * Reads the options of a command.
 * @throws Error that names the option and the command that lists all options.
 */
export function parseOptions<T extends ParseArgsConfig>(
  name: string,
  environment: NodeJS.ProcessEnv,
  config: T,
): ReturnType<typeof parseArgs<T>> {
  // Without "--", npm takes an option for its own and puts it into the environment.
  const taken = Object.keys(config.options ?? {}).find(
    (option) => !NPM_OPTIONS.includes(option) && `npm_config_${option.replaceAll('-', '_')}` in environment,
  );
  if (taken !== undefined) {
    throw new Error(`npm took --${taken} for its own option; expected "--" before it: ${name} -- --${taken}`);
  }
  try {
    return parseArgs(config);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // The rest of the message is advice that does not fit npm.
    const [reason] = message.split(/\.\s/);
    const hint = code === 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL' ? 'npm passes on only the options after "--"; ' : '';
    throw new Error(`${reason}; ${hint}${name} -- --help lists the options`, { cause: error });
  }
}
