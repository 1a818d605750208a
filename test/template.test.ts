import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unzipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import options from '../esbuild.config.mjs';
import { bundle, ZIP_FILE } from '../scripts/bundle.ts';
import { temporaryFolder } from '../scripts/temporary-folder.ts';
import { DEFAULT_TAG, readSettings } from '../src/settings.ts';
import { deploy, propertiesOf, TEMPLATE, TEMPLATE_TEXT } from './helpers/stack.ts';

interface FunctionProperties {
  readonly Code: string;
  readonly Handler: string;
  readonly Runtime: string;
  readonly Timeout: number;
  readonly Environment: { readonly Variables: Record<string, string> };
}

const functionOf = (parameters = {}) => propertiesOf<FunctionProperties>(deploy(parameters), 'Function');
const lambda = functionOf();

describe('the function', () => {
  it('is the zip that npm run bundle writes', () => {
    expect(resolve(fileURLToPath(new URL('..', import.meta.url)), lambda.Code)).toBe(ZIP_FILE);
  });

  it('is called by a file and an export that the zip has', async () => {
    const [file, name = ''] = lambda.Handler.split('.');
    const code = unzipSync((await bundle()).zip)[`${file}.js`];
    await using folder = await temporaryFolder('template-');
    writeFileSync(join(folder.path, `${file}.js`), code ?? '');
    expect(createRequire(`${folder.path}/`)(`./${file}`)).toHaveProperty(name, expect.any(Function));
  });

  it('runs on the Node that the bundle is made for', () => {
    expect(lambda.Runtime).toBe(`${String(options.target).replace('node', 'nodejs')}.x`);
  });

  it('runs on the architecture and with the limit of the parameters, by default without a limit', () => {
    expect(lambda).toHaveProperty('Architectures', ['arm64']);
    expect(lambda).not.toHaveProperty('ReservedConcurrentExecutions');
    const limited = functionOf({ Architecture: 'x86_64', ReservedConcurrency: '20' });
    expect(limited).toMatchObject({ Architectures: ['x86_64'], ReservedConcurrentExecutions: '20' });
  });

  it('gets each environment variable that src/settings.ts reads, the choice of FIPS endpoints, and no other', () => {
    const read = new Set<string>();
    readSettings(new Proxy<Record<string, string>>({}, { get: (_, name) => void read.add(String(name)) }));
    expect(Object.keys(lambda.Environment.Variables).sort()).toEqual(['AWS_USE_FIPS_ENDPOINT', ...read].sort());
    expect(functionOf({ UseFipsEndpoint: 'true' }).Environment.Variables.AWS_USE_FIPS_ENDPOINT).toBe('true');
  });

  it('sets the tag of the parameters', () => {
    expect(readSettings(lambda.Environment.Variables).tag).toEqual(DEFAULT_TAG);
    const { Environment } = functionOf({ TagKey: 'drain', TagValue: 'now' });
    expect(readSettings(Environment.Variables).tag).toEqual({ key: 'drain', value: 'now' });
  });

  it('has time for two full attempts and the minute between them in the default heartbeat timeout', () => {
    expect(2 * lambda.Timeout + 60).toBe(TEMPLATE.Parameters.HeartbeatTimeout?.Default);
  });
});

describe('the parameters', () => {
  it.each(Object.entries(TEMPLATE.Parameters))('%s allows its default', (name, { Default }) => {
    expect(allows(name, Default)).toBe(true);
  });

  it.each([
    ['TagKey', 'TAG_KEY'],
    ['TagValue', 'TAG_VALUE'],
  ])('%s allows nothing that the function would refuse', (parameter, variable) => {
    const candidates = ['', 'x', 'aws:x', 'AWS:x', 'awsx', 'x'.repeat(128), 'x'.repeat(129), 'x'.repeat(257)];
    const refused = candidates.filter((value) => {
      try {
        readSettings({ [variable]: value });
        return false;
      } catch {
        return true;
      }
    });
    expect(refused.length).toBeGreaterThan(1);
    expect(refused.filter((value) => allows(parameter, value))).toEqual([]);
  });

  it.each(['TagKey', 'TagValue'])('%s allows no character that has a meaning in a policy or a command', (name) => {
    expect(['"', "'", '\\', '*', '?', '$', '{', ' '].filter((text) => allows(name, `x${text}`))).toEqual([]);
  });

  const TOPIC = 'arn:aws-us-gov:sns:us-gov-west-1:123456789012:remove-from-lb';
  const KEY = 'arn:aws-cn:kms:cn-north-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab';
  const POLICY = 'arn:aws:iam::123456789012:policy/team/boundary';
  it.each([
    // The function would take a text such as yes for false.
    ['UseFipsEndpoint', ['true', 'false'], ['TRUE', 'True', 'yes', '1', '']],
    [
      'PermissionsBoundaryArn',
      ['', POLICY, 'arn:aws:iam::aws:policy/Any'],
      [POLICY.replace('policy', 'role'), 'boundary'],
    ],
    ['TopicArn', ['', TOPIC], [`${TOPIC}.fifo`, TOPIC.replace('sns', 'sqs'), 'remove-from-lb']],
    ['AlarmTopicArn', ['', TOPIC], [`${TOPIC}.fifo`, TOPIC.replace('sns', 'sqs'), 'remove-from-lb']],
    ['TopicKeyArn', ['', KEY], [KEY.replace('key/', 'alias/'), KEY.replace(/mrk.*/, '*'), 'alias/aws/sns']],
    ['AutoScalingGroupName', ['', 'web "servers"/blue.1 (old) *', 'w'.repeat(255)], ['w'.repeat(256), 'web:1']],
    ['ReservedConcurrency', ['', '1', '99999'], ['0', '00', '-1', '1.5', 'none', '100000']],
    // Auto Scaling takes 30 to 7200 s for a hook, Lambda 60 to 21600 s for the age of an event.
    ['HeartbeatTimeout', [60, 7200], [59, 7201]],
  ])('%s allows %j and refuses %j', (name, allowed, refused) => {
    expect(allowed.filter((value) => !allows(name, value))).toEqual([]);
    expect(refused.filter((value) => allows(name, value))).toEqual([]);
  });
});

function allows(name: string, value: unknown): boolean {
  const parameter = TEMPLATE.Parameters[name];
  if (!parameter) throw new Error(`template.yaml has no parameter ${name}`);
  const { AllowedPattern = '', AllowedValues, MinValue = -Infinity, MaxValue = Infinity } = parameter;
  if (AllowedValues) return AllowedValues.includes(value as string);
  if (parameter.Type === 'Number') return Number(value) >= MinValue && Number(value) <= MaxValue;
  return new RegExp(AllowedPattern).test(String(value));
}

describe('the other partitions of AWS', () => {
  it('are not excluded by an ARN with a fixed partition', () => {
    expect(TEMPLATE_TEXT).not.toMatch(/arn:aws(-[a-z-]+)?:/);
  });

  it.each(['aws', 'aws-cn', 'aws-us-gov'])('%s is the partition of every ARN', (partition) => {
    const text = JSON.stringify(deploy({ AutoScalingGroupName: 'web' }, partition).resources);
    const partitions = [...text.matchAll(/arn:([a-z-]+):/g)].map(([, found]) => found);
    expect(new Set(partitions)).toEqual(new Set([partition]));
  });
});
