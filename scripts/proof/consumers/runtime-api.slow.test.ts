import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { STATE_HEADER, stateRow } from '../../../examples/runtime-api/fixtures.ts';
import { temporaryFolder } from '../../temporary-folder.ts';
import { surroundingsIn } from '../fixtures.ts';
import { runtimeApi } from './runtime-api.ts';

const A = 'i-0000000a';
const LIST = `printf '${A}\\trunning\\ttagged\\tNone\\tNone\\n'`;
const PATIENCE = { timeout: 60_000 };

test('tells changes from complaints, also after its start', async ({ onTestFinished }) => {
  const { path: folder, remove } = await temporaryFolder('consumer-');
  onTestFinished(remove);
  const state = join(folder, 'servers');
  await writeFile(state, `${STATE_HEADER}${stateRow('web', { name: A })}${stateRow('web', { name: 'other' })}\n`);
  const socat = `read -r command; case $command in show*) exec cat '${state}' ;; esac; echo`;
  const aws = `echo "$COMPLETE_HOOK" >'${folder}/hook'; ${LIST}`;
  for (const [name, text] of Object.entries({ socat, aws })) {
    await writeFile(join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  }
  const progress: string[] = [];
  const surroundings = {
    ...surroundingsIn(folder, { environment: { PATH: `${folder}:${process.env.PATH}` } }),
    statsSockets: [join(folder, 'one.sock'), join(folder, 'two.sock')],
    completeHook: 'remove-from-lb',
    onProgress: (line: string) => void progress.push(line.trim()),
  };
  const consumer = await runtimeApi.start(surroundings);
  onTestFinished(() => consumer.stop());
  await vi.waitFor(() => expect(progress.length).toBeGreaterThan(1), PATIENCE);
  expect(new Set(progress)).toEqual(new Set([`web/${A} is set to drain`]));
  expect(await readFile(join(folder, 'hook'), 'utf8')).toBe('remove-from-lb\n');
  await rm(state);
  await vi.waitFor(() => expect(consumer.failures.join('\n')).toContain('two.sock: no answer'), PATIENCE);
});
