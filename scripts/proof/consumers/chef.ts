import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { programVersion } from '../../programs.ts';
import type { Consumer, Surroundings } from '../consumer.ts';
import { startProgram } from '../program.ts';

const EXAMPLE = fileURLToPath(new URL('../../../examples/chef', import.meta.url));
const OWN_COOKBOOKS = fileURLToPath(new URL('chef/cookbooks', import.meta.url));
/** https://docs.chef.io/licensing/accept/ */
const LICENCE_VALUES = ['accept', 'accept-silent', 'accept-no-persist'];
const BUNDLE = { BUNDLE_GEMFILE: join(EXAMPLE, 'Gemfile') };

/** chef-client's `--interval`, in seconds: the pause between two runs. */
const PAUSE_S = 1;
const WHOLE_RUN_MS = 6000;

/** Chef Infra Client in local mode, with the cookbook in examples/chef. */
export const chef: Consumer = {
  name: 'chef',
  intervalMs: PAUSE_S * 1000 + WHOLE_RUN_MS,
  runMs: 2000,
  reloads: true,

  async requirement(environment) {
    const licence = environment.CHEF_LICENSE;
    if (!licence) {
      throw new Error(
        "Chef's licence is not accepted (https://www.chef.io/end-user-license-agreement). To accept the licence, run: CHEF_LICENSE=accept-no-persist npm run drain -- --consumer chef",
      );
    }
    if (!LICENCE_VALUES.includes(licence.toLowerCase())) {
      throw new Error(`CHEF_LICENSE is ${JSON.stringify(licence)}; expected one of ${LICENCE_VALUES.join(', ')}`);
    }
    const version = programVersion(
      ['bundle', 'exec', 'chef-client', '--version'],
      { ...environment, ...BUNDLE },
      'Chef is not installed: apt-get install ruby ruby-dev ruby-bundler build-essential libffi-dev libarchive13 && bundle install --gemfile examples/chef/Gemfile',
    );
    return `Chef Infra Client ${version}`;
  },

  async start(surroundings) {
    const folder = join(surroundings.folder, 'chef');
    await mkdir(folder);
    const clientFile = join(folder, 'client.rb');
    await writeFile(clientFile, clientOf(folder));
    const nodeFile = join(folder, 'node.json');
    await writeFile(nodeFile, JSON.stringify(nodeOf(surroundings)));

    let reason = 'no reason given';
    let hasRun = false;
    const options = ['--local-mode', '--config', clientFile, '--json-attributes', nodeFile, '--interval', `${PAUSE_S}`];
    return startProgram('bundle', ['exec', 'chef-client', ...options], {
      signal: surroundings.signal,
      environment: { ...surroundings.environment, ...BUNDLE },
      failureIn(line) {
        if (line.startsWith('Infra Phase complete')) hasRun = true;
        if (line.includes(RUN_FAILED)) return `a run of chef-client failed: ${reason}`;
        reason = REASON.exec(line)?.[1] ?? reason;
        return undefined;
      },
      hasRun: () => hasRun,
    });
  },
};

// A failed run ends with the reason, among other errors, and the loop adds a line of its own.
const REASON = /ERROR: (?!Running exception handlers|Exception handlers complete)(.+)/;
const RUN_FAILED = 'Chef::Exceptions::ChildConvergeError';

function clientOf(folder: string): string {
  return `from_file ${rubyString(join(EXAMPLE, 'client.rb'))}
chef_repo_path ${rubyString(folder)}
cookbook_path [${rubyString(join(EXAMPLE, 'cookbooks'))}, ${rubyString(OWN_COOKBOOKS)}]
node_name 'load-balancer'
minimal_ohai true
`;
}

function rubyString(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}

function shellWord(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function nodeOf({ configFile, pidFile, statsSocket, group, serverPort, staticConfiguration }: Surroundings) {
  return {
    run_list: ['recipe[load_balancer]'],
    load_balancer: { static_configuration: staticConfiguration },
    haproxy_ec2: {
      member_tag: { value: group },
      port: serverPort,
      config: configFile,
      template: { cookbook: 'load_balancer' },
      reload_command: `kill -USR2 "$(cat ${shellWord(pidFile)})"`,
      stats_socket: statsSocket,
    },
  };
}
