import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unzipSync } from 'fflate';
import { describe, expect, it, onTestFinished } from 'vitest';
import options from '../esbuild.config.mjs';
import { bundle, ZIP_FILE } from '../scripts/bundle.ts';
import { readSettings } from '../src/settings.ts';
import { deploy, propertiesOf, TEMPLATE, TEMPLATE_TEXT } from './helpers/stack.ts';

interface FunctionProperties {
  readonly CodeUri: string;
  readonly Handler: string;
  readonly Runtime: string;
  readonly Timeout: number;
  readonly Environment: { readonly Variables: Record<string, string> };
}

const lambda = propertiesOf<FunctionProperties>(deploy(), 'Function');

describe('the function', () => {
  it('is the zip that npm run bundle writes', () => {
    expect(resolve(fileURLToPath(new URL('..', import.meta.url)), lambda.CodeUri)).toBe(ZIP_FILE);
  });

  it('is called by a file and an export that the zip has', async () => {
    const [file, name = ''] = lambda.Handler.split('.');
    const code = unzipSync((await bundle()).zip)[`${file}.js`];
    expect(code, `${file}.js in the zip`).toBeDefined();
    const folder = mkdtempSync(join(tmpdir(), 'remove-from-lb-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, `${file}.js`), code ?? '');
    expect(createRequire(`${folder}/`)(`./${file}`)).toHaveProperty(name, expect.any(Function));
  });

  it('has the memory that its figures and its costs are given for', () => {
    expect(lambda).toHaveProperty('MemorySize', 256);
  });

  it('runs on arm64, which costs less, or on x86_64, where there is no other', () => {
    expect(lambda).toHaveProperty('Architectures', ['arm64']);
    expect(propertiesOf(deploy({ Architecture: 'x86_64' }), 'Function')).toHaveProperty('Architectures', ['x86_64']);
    expect(['arm64', 'x86_64', 'amd64'].map((value) => allows('Architecture', value))).toEqual([true, true, false]);
  });

  it('runs in as many copies as are needed, unless a limit is given', () => {
    expect(lambda).not.toHaveProperty('ReservedConcurrentExecutions');
    const limited = propertiesOf(deploy({ ReservedConcurrency: '20' }), 'Function');
    expect(limited).toHaveProperty('ReservedConcurrentExecutions', '20');
  });

  it.each(['0', '00', '-1', '1.5', 'none', '100000'])('cannot be switched off by a limit of %s', (limit) => {
    expect(allows('ReservedConcurrency', limit)).toBe(false);
  });

  it('runs on the Node that the bundle is made for', () => {
    expect(lambda.Runtime).toBe(`${String(options.target).replace('node', 'nodejs')}.x`);
  });

  it('gets the environment variables that the source reads, each of them, and no other', () => {
    const asked = new Set<string>();
    const environment = new Proxy<Record<string, string>>({}, { get: (_, name) => void asked.add(String(name)) });
    readSettings(environment);
    expect(Object.keys(lambda.Environment.Variables).sort()).toEqual([...asked].sort());
  });

  it('sets the tag of the parameters, by default the one that it would set without any settings', () => {
    expect(readSettings(lambda.Environment.Variables).tag).toEqual(readSettings({}).tag);
    const other = propertiesOf<FunctionProperties>(deploy({ TagKey: 'drain', TagValue: 'now' }), 'Function');
    expect(readSettings(other.Environment.Variables).tag).toEqual({ key: 'drain', value: 'now' });
  });

  it('has time for a scale-in of 1000 instances, where the last tag takes up to 100 s, and a tenth to spare', () => {
    const unused = 1;
    expect(lambda.Timeout - unused).toBeGreaterThanOrEqual(1.1 * 100);
  });

  it('has two full tries, and the minute between them, within the default heartbeat timeout, which is no longer', () => {
    expect(2 * lambda.Timeout + 60).toBe(TEMPLATE.Parameters.HeartbeatTimeout?.Default);
  });
});

describe('the parameters', () => {
  const parameters = Object.entries(TEMPLATE.Parameters);

  it.each(parameters)('%s has a description, and a default that it allows', (name, parameter) => {
    expect(parameter.Description).toMatch(/\.$/);
    expect(allows(name, parameter.Default)).toBe(true);
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
    for (const value of refused) expect(allows(parameter, value), value).toBe(false);
  });

  it.each(['"', '\\', '*', '?', '$', '{', ' '])(
    'TagKey and TagValue do not allow %s, which means something in a policy or is cut off by EC2',
    (text) => {
      expect([allows('TagKey', `x${text}`), allows('TagValue', `x${text}`)]).toEqual([false, false]);
    },
  );

  it.each([
    ['', true],
    ['arn:aws:sns:us-west-2:123456789012:remove-from-lb', true],
    ['arn:aws-us-gov:sns:us-gov-west-1:123456789012:remove-from-lb', true],
    ['arn:aws:sns:us-west-2:123456789012:remove-from-lb.fifo', false],
    ['arn:aws:sqs:us-west-2:123456789012:remove-from-lb', false],
    ['remove-from-lb', false],
  ])('a topic may be given as %j: %s', (arn, allowed) => {
    expect([allows('TopicArn', arn), allows('AlarmTopicArn', arn)]).toEqual([allowed, allowed]);
  });

  it.each([
    ['', true],
    ['arn:aws:kms:us-west-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab', true],
    ['arn:aws-cn:kms:cn-north-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab', true],
    ['arn:aws:kms:us-west-2:123456789012:alias/topics', false],
    ['arn:aws:kms:us-west-2:123456789012:key/*', false],
    ['alias/aws/sns', false],
  ])('the key of a topic may be given as %j: %s', (arn, allowed) => {
    expect(allows('TopicKeyArn', arn)).toBe(allowed);
  });

  it.each([
    ['', true],
    ['web servers/blue.1 (old) *', true],
    ['w'.repeat(255), true],
    ['w'.repeat(256), false],
    ['web"', false],
    ['web\\', false],
    ['web:1', false],
  ])('a group may be called %j: %s, for its name stands in the pattern of a metric', (name, allowed) => {
    expect(allows('AutoScalingGroupName', name)).toBe(allowed);
  });

  // Auto Scaling takes 30 to 7200 s for a hook, Lambda 60 to 21600 s for the age of an event.
  it('a heartbeat timeout is one that both Auto Scaling and Lambda take', () => {
    const taken = [59, 60, 7200, 7201].map((seconds) => allows('HeartbeatTimeout', seconds));
    expect(taken).toEqual([false, true, true, false]);
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
  it('are not shut out by an ARN of the first one', () => {
    expect(TEMPLATE_TEXT).not.toMatch(/arn:aws(-[a-z-]+)?:/);
  });

  it.each(['aws', 'aws-cn', 'aws-us-gov'])('%s is in the ARNs that are put together', (partition) => {
    const text = JSON.stringify(deploy({ AutoScalingGroupName: 'web' }, partition).resources);
    const partitions = [...text.matchAll(/arn:([a-z-]+):/g)].map(([, found]) => found);
    expect(partitions.length).toBeGreaterThan(0);
    expect(new Set(partitions)).toEqual(new Set([partition]));
  });
});
