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
import { deploy, propertiesOf, TEMPLATE, TEMPLATE_TEXT } from './stack.ts';

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

  it('has the memory and the architecture that its figures and its costs are told for', () => {
    expect(lambda).toMatchObject({ MemorySize: 256, Architectures: ['arm64'] });
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

  it('has time for a scale-in of 1000 instances, which EC2 lets be tagged 10 a second after the first 100', () => {
    const atBest = (1000 - 100) / 10;
    expect(lambda.Timeout).toBeGreaterThanOrEqual(1.1 * atBest);
  });

  it('has time for a second try within the default heartbeat timeout, Lambda waiting a minute before it', () => {
    expect(2 * lambda.Timeout + 60).toBeLessThanOrEqual(Number(TEMPLATE.Parameters.HeartbeatTimeout?.Default));
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

  it('hold the heartbeat timeout within what Auto Scaling and the maximum age of an event allow', () => {
    expect([59, 60, 7200, 7201].map((seconds) => allows('HeartbeatTimeout', seconds))).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });
});

function allows(name: string, value: unknown): boolean {
  const parameter = TEMPLATE.Parameters[name];
  if (!parameter) throw new Error(`template.yaml has no parameter ${name}`);
  const { AllowedPattern = '', AllowedValues, MinValue = -Infinity, MaxValue = Infinity, MaxLength } = parameter;
  if (AllowedValues) return AllowedValues.includes(value as string);
  if (parameter.Type === 'Number') return Number(value) >= MinValue && Number(value) <= MaxValue;
  return new RegExp(AllowedPattern).test(String(value)) && String(value).length <= (MaxLength ?? Infinity);
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
