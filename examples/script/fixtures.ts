import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test as base } from 'vitest';
import { temporaryFolder } from '../../scripts/temporary-folder.ts';
import { pathWithAws } from '../../test/helpers/aws-cli.ts';
import { run } from '../fixtures.ts';

export const LIST = 'examples/script/servers-to-keep.sh';
export const UPDATE = 'examples/script/update-haproxy.sh';

/** The AWS CLI's line for one instance, as `printf` takes it. */
export const ONE = 'i-00000001\\t10.0.0.1\\t80\\n';
export const TEMPLATE = `defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend web
    bind 127.0.0.1:8000
    default_backend web
backend web
    default-server check
@SERVERS@
backend other
    server fixed 127.0.0.1:9000
`;
export const WITH_ONE = TEMPLATE.replace('@SERVERS@', '    server i-00000001 10.0.0.1:80');
/** HAProxy is untouched. */
export const UNCHANGED = { configuration: 'the configuration before the test\n', reloads: 0 };

/** A test with its own folder, which holds a template and a configuration. */
export const test = base
  .extend('folder', async ({ task: _ }, { onCleanup }) => {
    const folder = await temporaryFolder('script-');
    onCleanup(() => folder.remove());
    await writeFile(join(folder.path, 'template'), TEMPLATE);
    await writeFile(join(folder.path, 'haproxy.cfg'), UNCHANGED.configuration);
    return folder.path;
  })
  .extend('update', ({ folder }) => {
    /** Runs update-haproxy.sh with an AWS CLI that prints this and ends with this status. */
    return async (prints: string, { status = 0, reload = 'echo reload >> "$0/reloads"' } = {}) => {
      const PATH = await pathWithAws(folder, prints, status);
      const files = [join(folder, 'template'), join(folder, 'haproxy.cfg')];
      return await run(UPDATE, ['web', ...files, 'sh', '-c', reload, folder], { env: { ...process.env, PATH } });
    };
  })
  /** The configuration, and how often HAProxy was reloaded. */
  .extend('haproxy', ({ folder }) => async () => {
    const reloads = await readFile(join(folder, 'reloads'), 'utf8').catch(() => '');
    const configuration = await readFile(join(folder, 'haproxy.cfg'), 'utf8');
    return { configuration, reloads: reloads.split('\n').length - 1 };
  });
