import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { SCRIPT, test } from './fixtures.ts';

describe('drain-tagged-servers.sh', () => {
  test.for<[message: string, args: string[], settings: Record<string, string>]>([
    ['expected AUTO-SCALING-GROUP SOCKET...', ['web'], {}],
    ["INTERVAL is '2s'; expected seconds", ['web', '/s'], { INTERVAL: '2s' }],
    ["INTERVAL is '0.0'; expected seconds, more than 0", ['web', '/s'], { INTERVAL: '0.0' }],
    ["INTERVAL is '1.2.3'; expected seconds", ['web', '/s'], { INTERVAL: '1.2.3' }],
    [
      "STATE_DIRECTORY is '/nowhere'; expected a folder that can be written to",
      ['web', '/s'],
      { STATE_DIRECTORY: '/nowhere' },
    ],
  ])('refuses to start, with a status of its own: %s', async ([message, args, settings], { folder }) => {
    for (const program of ['aws', 'socat']) await writeFile(join(folder, program), '', { mode: 0o755 });
    expect(run(args, { PATH: folder, STATE_DIRECTORY: folder, ...settings })).toEqual({
      status: 2,
      stderr: `drain-tagged-servers.sh: ${message}\n`,
    });
  });

  test('refuses to start without a program that it needs', ({ folder }) => {
    expect(run(['web', '/s'], { PATH: folder, STATE_DIRECTORY: folder })).toEqual({
      status: 2,
      stderr: 'drain-tagged-servers.sh: aws is not installed\n',
    });
  });
});

function run(args: string[], env: NodeJS.ProcessEnv) {
  const { status, stderr } = spawnSync('/bin/sh', [SCRIPT, ...args], { env, encoding: 'utf8' });
  return { status, stderr };
}
