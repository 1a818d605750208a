import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../../scripts/temporary-folder.ts';

/** The first shell block of a page that contains a text. */
export function shellBlock(page: string, text: string): string {
  const blocks = [...page.matchAll(/```sh\n(.*?)```/gs)].map(([, block = '']) => block);
  const block = blocks.find((block) => block.includes(text));
  if (block === undefined) throw new Error(`the page has no shell block with ${text}`);
  return block;
}

/**
 * Runs a shell script with stubs of programs.
 * @param stubs the shell script of each stub, by the name of the program.
 * @returns also the calls of the stubs, each with the name of the program and the arguments.
 */
export async function runWithStubs(script: string, stubs: Readonly<Record<string, string>>) {
  await using folder = await temporaryFolder('stubs-');
  const log = join(folder.path, 'calls.log');
  writeFileSync(log, '');
  for (const [name, stub] of Object.entries(stubs)) {
    const record = `printf '%s\\0' ${name} "$@" >> '${log}'; printf '\\n\\0' >> '${log}'`;
    writeFileSync(join(folder.path, name), `#!/bin/sh\n${record}\n${stub}\n`, { mode: 0o755 });
  }
  const env = { PATH: `${folder.path}:${process.env.PATH}` };
  const { stdout, stderr, status } = spawnSync('sh', ['-c', script], { env, encoding: 'utf8', cwd: folder.path });
  const calls = readFileSync(log, 'utf8').split('\0\n\0').slice(0, -1);
  return { stdout, stderr, status, calls: calls.map((call) => call.split('\0')) };
}

/** A stub of the AWS CLI that answers with the outputs of a stack, and to every other call as another stub. */
export function awsWithOutputs(outputs: Readonly<Record<string, unknown>>, otherwise = ''): string {
  const answers = Object.entries(outputs).map(
    ([name, value]) => `*"describe-stacks"*"OutputKey=='${name}'"*) printf '%s\\n' '${value}' ;;`,
  );
  return `case "$*" in\n${answers.join('\n')}\n*describe-stacks*) echo None ;;\n*) ${otherwise || ':'} ;;\nesac`;
}
