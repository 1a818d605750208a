import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { zipSync } from 'fflate';
import { describe, expect, it as test, vi } from 'vitest';
import { TEMPLATE } from '../../test/helpers/stack.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { FUNCTION_TIMEOUT_MS, type LambdaOptions, startLambda } from './lambda.ts';

/** A zip like the function's, with other code. */
function zipOf(code: string) {
  return zipSync({ 'index.js': new TextEncoder().encode(code) });
}

const PARENT = `
  import { startLambda } from './scripts/local-aws/lambda.ts';
  const lambda = await startLambda(Buffer.from(process.argv[1], 'base64'));
  lambda.invoke({});
  console.log('started');
`;

// Never ends.
const ENDLESS = 'exports.handler = () => new Promise(() => setInterval(() => {}, 1000))';

const it = test
  .extend('folder', async ({ onTestFinished }) => {
    const folder = await temporaryFolder('lambda-');
    onTestFinished(folder.remove);
    vi.stubEnv('TMPDIR', folder.path);
    return folder.path;
  })
  .extend('start', ({ folder, onTestFinished }) => async (code: string, options?: LambdaOptions) => {
    const lambda = await startLambda(zipOf(code), options);
    onTestFinished(async () => {
      await lambda.stop();
      expect(readdirSync(folder)).toEqual([]);
    });
    return lambda;
  });

describe("the function's process", () => {
  it("has Lambda's flags and environment, and its own folder, which is removed", async ({ folder, start }) => {
    const lambda = await start(`exports.handler = async () => console.info({
      flags: process.execArgv,
      environment: Object.keys(process.env).filter((name) => !/^(AWS_|LAMBDA_|NODE_CHANNEL_)/.test(name)).sort(),
      folder: __dirname,
    })`);
    const { log } = await lambda.invoke({});
    expect(log[0]?.message).toEqual({
      flags: ['--no-experimental-require-module', '--no-experimental-detect-module'],
      environment: ['LANG', 'TZ'],
      folder: join(folder, readdirSync(folder).join()),
    });
  });

  it('leaves no folder when the function does not load', async ({ folder, start }) => {
    await expect(start('throw new TypeError("bad")')).rejects.toThrow('the function does not start: TypeError: bad');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('ends the invocation in progress when the signal is aborted', async ({ start }) => {
    const end = new AbortController();
    const lambda = await start(ENDLESS, { signal: end.signal });
    const ended = lambda.invoke({});
    end.abort(new Error('interrupted'));
    await expect(ended).rejects.toThrow('interrupted');
  });

  it('does not start when the signal is already aborted', async ({ folder, start }) => {
    const signal = AbortSignal.abort(new Error('interrupted'));
    await expect(start(ENDLESS, { signal })).rejects.toThrow('interrupted');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('ends the invocation when the function ends its own process', async ({ start }) => {
    const lambda = await start('exports.handler = async () => process.exit(3)');
    await expect(lambda.invoke({})).rejects.toThrow("the function's process ended (exit code 3)");
    await expect(lambda.invoke({})).rejects.toThrow("the function's process ended (exit code 3)");
  });

  it("reports the function's timeout as Lambda does", async ({ start }) => {
    const lambda = await start(ENDLESS, { timeoutMs: 100 });
    expect(await lambda.invoke({})).toMatchObject({
      error: { errorType: 'Sandbox.Timedout', errorMessage: 'Task timed out after 0.1 seconds' },
    });
    await expect(lambda.invoke({})).rejects.toThrow("the function's process ended (SIGKILL)");
  });

  it("has the template's timeout by default", () => {
    expect(TEMPLATE.Resources.Function?.Properties.Timeout).toBe(FUNCTION_TIMEOUT_MS / 1000);
  });

  it('ends with its parent, even when the parent is killed', async ({ folder }) => {
    const parent = spawn(
      process.execPath,
      ['--input-type=module-typescript', '-e', PARENT, Buffer.from(zipOf(ENDLESS)).toString('base64')],
      {
        cwd: fileURLToPath(new URL('../..', import.meta.url)),
        env: { ...process.env, TMPDIR: folder },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    await once(parent.stdout, 'data');
    const printed = text(parent.stderr);
    parent.kill('SIGKILL');
    // The function's process holds the same standard error, so this also waits for the end of that process.
    await once(parent, 'close');
    expect(await printed).toBe('');
  });
});
