import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test as base, expect, vi } from 'vitest';
import { temporaryFolder } from '../../scripts/temporary-folder.ts';
import { SCRIPT, type ServerState, STATE_HEADER, signalTo, stateRow } from './fixtures.ts';

interface FakeOptions {
  readonly sockets?: readonly string[];
  readonly groups?: string;
  readonly settings?: Readonly<Record<string, string>>;
  /** Whether the script leads a process group, as by default. */
  readonly detached?: boolean;
}

const PATIENCE = { timeout: 50_000, interval: 5 };

// Each question waits until the test has written the answer.
const AWS = `folder=\${0%/*}
if [ "$1" = autoscaling ]; then
  printf '%s\\n' "$*" >>"$folder/autoscaling"
  . "$folder/$2"
  exit
fi
printf '%s\\n' "$@" >"$folder/new.$$"
mv "$folder/new.$$" "$folder/question.$$"
until [ -e "$folder/answer.$$" ]; do
  [ -e "$folder" ] || exit
  /bin/sleep 0.01
done
. "$folder/answer.$$"
`;

// Keeps the servers of each HAProxy in a file. A missing file is an HAProxy that does not answer.
const SOCAT = `folder=\${0%/*}
for address; do :; done
case $address in TCP:*) exec grep -qxF "\${address#TCP:}" "$folder/listeners" ;; esac
haproxy=$folder/\${address##*/}
read -r command
echo "$address $command" >>"$folder/commands"
[ -e "$haproxy" ] || exit 1
case $command in
'show servers state')
  cat "$folder/state-header"
  cat "$haproxy"
  ;;
'show stat -1 4 -1')
  [ ! -e "$haproxy.without-statistics" ] || exit
  echo '# pxname,svname,qcur,qmax,scur,smax,slim'
  awk -v sessions="$haproxy.sessions" '
    BEGIN { while ((getline line < sessions) > 0) { split(line, f, " "); queued[f[1]] = f[2]; current[f[1]] = f[3] } }
    { s = $2 "/" $4; print $2 "," $4 "," queued[s] + 0 ",0," current[s] + 0 ",0," }' "$haproxy"
  ;;
'set server '*)
  set -- $command
  if [ -e "$haproxy.blocks" ] && grep -qxF "$3" "$haproxy.blocks"; then
    echo "$3" >>"$folder/blocked"
    exec /bin/sleep 1000
  fi
  if [ -e "$haproxy.refuses" ]; then cat "$haproxy.refuses"; else
    awk -v server="$3" -v admin="$([ "$5" = drain ] && echo 8 || echo 0)" \\
      '$2 "/" $4 == server { $7 = admin } { print }' "$haproxy" >"$haproxy.$$" && mv "$haproxy.$$" "$haproxy"
  fi
  ;;
esac
echo
`;

const TIMEOUT = `[ "$1" != --foreground ] || shift
shift
exec "$@"
`;

/**
 * A test with the script and, instead of the AWS CLI, socat and HAProxy, shell scripts that the test answers for. The
 * script changes nothing while the test acts.
 */
export const test = base
  .extend('cleanup', async ({ task: _ }, { onCleanup }) => {
    const cleanup = new AsyncDisposableStack();
    onCleanup(() => cleanup.disposeAsync());
    return cleanup;
  })
  .extend('folder', async ({ cleanup }) => {
    const { path } = cleanup.use(await temporaryFolder('runtime-api-'));
    for (const [name, text] of Object.entries({ aws: AWS, socat: SOCAT, timeout: TIMEOUT })) {
      await writeFile(join(path, name), `#!/bin/sh\n${text}`, { mode: 0o755 });
    }
    await mkdir(join(path, 'state'), { mode: 0o700 });
    await writeFile(join(path, 'listeners'), '');
    await writeFile(join(path, 'state-header'), STATE_HEADER);
    return path;
  })
  /** The lines of a file in the folder, none if the file is missing. */
  .extend(
    'read',
    ({ folder }) =>
      (name: string) =>
        read(join(folder, name)),
  )
  .extend(
    'remove',
    ({ folder }) =>
      (name: string) =>
        rm(join(folder, name)),
  )
  /** Sets the servers of the HAProxy at this socket, by backend. */
  .extend('haproxy', ({ folder }) => async (backends: Record<string, readonly ServerState[]>, socket = 'one.sock') => {
    const rows = Object.entries(backends).flatMap(([backend, servers]) =>
      servers.map((server) => stateRow(backend, server)),
    );
    // At once, because the script may be reading.
    await writeFile(join(folder, 'rows'), rows.join(''));
    await rename(join(folder, 'rows'), join(folder, socket));
  })
  /** The servers that are drained, such as "web/a". */
  .extend(
    'drained',
    ({ folder }) =>
      (socket = 'one.sock') =>
        read(join(folder, socket)).flatMap((row) => {
          const fields = row.split(' ');
          return Number(fields[6]) & 8 ? [`${fields[1]}/${fields[3]}`] : [];
        }),
  )
  .extend(
    'commands',
    ({ folder }) =>
      () =>
        read(join(folder, 'commands')),
  )
  .extend('drainTagged', ({ folder, cleanup }) => async (options: FakeOptions = {}) => {
    const { sockets = ['one.sock'], groups = 'web', settings = {}, detached = true } = options;
    const paths = sockets.map((socket) => (/@/.test(socket) ? socket : join(folder, socket)));
    const [out, err] = [join(folder, 'out'), join(folder, 'err')];
    await using outFile = await open(out, 'a');
    await using errFile = await open(err, 'a');
    const asked = new Set(await questions());
    const child = spawn('/bin/sh', [SCRIPT, groups, ...paths], {
      env: {
        PATH: `${folder}:${process.env.PATH}`,
        STATE_DIRECTORY: join(folder, 'state'),
        INTERVAL: '0.01',
        ...settings,
      },
      detached,
      stdio: ['ignore', outFile.fd, errFile.fd],
    });
    const ended = once(child, 'exit');

    async function questions(): Promise<string[]> {
      return (await readdir(folder)).filter((name) => name.startsWith('question.'));
    }
    /** Waits for the script's next question to EC2. */
    async function question(): Promise<string> {
      return await vi.waitFor(async () => {
        const file = (await questions()).find((name) => !asked.has(name));
        if (file !== undefined) return file;
        if (child.exitCode !== null) return expect.fail(`the script ended: ${read(err).join('\n')}`);
        throw new Error('the script has not asked EC2');
      }, PATIENCE);
    }
    async function reply(text: string): Promise<void> {
      const file = await question();
      asked.add(file);
      await writeFile(join(folder, 'reply'), text);
      await rename(join(folder, 'reply'), join(folder, file.replace('question', 'answer')));
    }
    async function stop(): Promise<void> {
      const pid = child.pid ?? 0;
      signalTo(detached ? -pid : pid, 'SIGTERM');
      await ended;
    }
    cleanup.defer(stop);
    return {
      process: child,
      ended,
      stop,
      waitFor: (condition: () => boolean) => vi.waitFor(() => expect(condition()).toBe(true), PATIENCE),
      /** The process group that asks EC2. */
      async group(): Promise<number> {
        const [, asker] = (await question()).split('.');
        return Number(execFileSync('ps', ['-o', 'pgid=', '-p', String(asker)], { encoding: 'utf8' }));
      },
      /** Lists these instances. */
      reply: (...instances: readonly string[]) => reply(listing(instances)),
      /** The arguments of the AWS CLI. */
      question: async () => readFileSync(join(folder, await question()), 'utf8').split('\n'),
      /** Lists these instances and waits for the next question. By then the script has acted on the list. */
      async look(...instances: readonly string[]): Promise<void> {
        await reply(listing(instances));
        await question();
      },
      /** Answers with the commands of a shell script instead, and waits for the next question. */
      async answer(commands: string): Promise<void> {
        await reply(commands);
        await question();
      },
      /** The lines on standard output. Paths of sockets are without their folder. */
      lines: () => read(out).map((line) => line.replaceAll(`${folder}/`, '')),
      errors: () =>
        read(err).map((line) => line.replaceAll(`${folder}/`, '').replace(/^drain-tagged-servers\.sh: /, '')),
    };
  });

/** The lines of a file, none if the file is missing. */
function read(file: string): string[] {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
}

function listing(instances: readonly string[]): string {
  return `printf '%s\\n' ${instances.map((text) => `'${text}'`).join(' ')}\n`;
}

/** A line of the AWS CLI's answer. */
export function line(id: string, wish: 'tagged' | 'untagged' = 'untagged', more: Partial<Line> = {}): string {
  const { state = 'running', ipv4 = 'None', ipv6 = 'None' } = more;
  return [id, state, wish, ipv4, ipv6].join('\t');
}

interface Line {
  readonly state: string;
  readonly ipv4: string;
  readonly ipv6: string;
}

export const named = (...names: string[]): ServerState[] => names.map((name) => ({ name }));
