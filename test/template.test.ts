import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import options from '../esbuild.config.mjs';
import { ZIP_FILE } from '../scripts/bundle.ts';
import { readSettings } from '../src/settings.ts';
import { deploy, itemsOf, propertiesOf, TEMPLATE, TEMPLATE_TEXT } from './helpers/stack.ts';

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
  it('is the handler of the zip that npm run bundle writes, on the Node that the bundle is made for', () => {
    expect(resolve(fileURLToPath(new URL('..', import.meta.url)), lambda.Code)).toBe(ZIP_FILE);
    expect(lambda.Handler).toBe('index.handler');
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
    const { Environment } = functionOf({ TagKey: 'drain', TagValue: 'now' });
    expect(readSettings(Environment.Variables).tag).toEqual({ key: 'drain', value: 'now' });
  });

  it('has the memory with which the costs and the figures of the pages were calculated', () => {
    expect(lambda).toHaveProperty('MemorySize', 256);
  });

  it('has time for two full attempts and the minute between them in the default heartbeat timeout', () => {
    expect(2 * lambda.Timeout + 60).toBe(TEMPLATE.Parameters.HeartbeatTimeout?.Default);
  });
});

describe('the parameters', () => {
  it('allow their defaults', () => {
    const parameters = Object.entries(TEMPLATE.Parameters);
    expect(parameters.filter(([name, { Default }]) => !allows(name, Default))).toEqual([]);
  });

  const TOPIC = 'arn:aws-us-gov:sns:us-gov-west-1:123456789012:remove-from-lb';
  const NO_TOPICS = [`${TOPIC}.fifo`, TOPIC.replace('sns', 'sqs'), 'remove-from-lb'];
  const KEY = 'arn:aws-cn:kms:cn-north-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab';
  const NO_KEYS = [KEY.replace('key/', 'alias/'), KEY.replace(/mrk.*/, '*'), 'alias/aws/sns'];
  const POLICY = 'arn:aws:iam::123456789012:policy/team/boundary';
  const NO_POLICIES = [POLICY.replace('policy', 'role'), 'boundary'];
  // Characters with a meaning in a policy or a command.
  const SPECIAL = ['"', "'", '\\', '*', '?', '$', '{', ' '].map((character) => `x${character}`);
  it.each([
    // The function would refuse the empty text, aws: and longer texts.
    ['TagKey', ['x', 'awsx', 'x'.repeat(128)], ['', 'aws:x', 'AWS:x', 'x'.repeat(129), ...SPECIAL]],
    ['TagValue', ['x', 'x'.repeat(256)], ['', 'x'.repeat(257), ...SPECIAL]],
    // Another text would be false without a word.
    ['UseFipsEndpoint', ['true', 'false'], ['TRUE', 'True', 'yes', '1', '']],
    ['PermissionsBoundaryArn', ['', POLICY, 'arn:aws:iam::aws:policy/Any'], NO_POLICIES],
    ['TopicArn', ['', TOPIC], NO_TOPICS],
    ['AlarmTopicArn', ['', TOPIC], NO_TOPICS],
    ['TopicKeyArn', ['', KEY], NO_KEYS],
    [
      'AutoScalingGroupName',
      ['', 'web "servers"/blue.1 (old) *', '$web', 'web$', 'w'.repeat(255)],
      ['w'.repeat(256), 'web:1', '${aws'],
    ],
    [
      'TaggedGroupNames',
      ['', 'web', 'web, api "servers"/blue.1 (old)', 'web$', `${'w'.repeat(255)},api`],
      ['w'.repeat(256), 'web:1', 'web,web-*', 'web-?', 'api,${aws'],
    ],
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
  if (parameter.Type === 'CommaDelimitedList') {
    return itemsOf(value).every((item) => new RegExp(AllowedPattern).test(item));
  }
  if (parameter.Type === 'Number') return Number(value) >= MinValue && Number(value) <= MaxValue;
  return new RegExp(AllowedPattern).test(String(value));
}

it('no ARN shuts out the other partitions of AWS', () => {
  expect(TEMPLATE_TEXT).not.toMatch(/arn:aws(-[a-z-]+)?:/);
});
