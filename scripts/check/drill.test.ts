import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import {
  DescribeAutoScalingInstancesCommand,
  type LifecycleState,
  TerminateInstanceInAutoScalingGroupCommand,
} from '@aws-sdk/client-auto-scaling';
import { DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { DescribeInstancesCommand } from '@aws-sdk/client-ec2';
import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { DEFAULT_TAG } from '../../src/settings.ts';
import { fakeTerminal } from '../../test/helpers/terminal.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { askUser, main } from './check.ts';
import {
  aws,
  awsError,
  CODE,
  givenGroups,
  givenHealthyChain,
  givenHooks,
  givenTagged,
  HOOK,
  runCheck,
  TOPIC,
} from './healthy-chain.ts';

const INSTANCE = 'i-0123456789abcdef0';
const DRILL = ['--stack', 'drain', '--drill', INSTANCE];

let folder: string;
const closing: (() => unknown)[] = [];

beforeEach(async () => {
  givenHealthyChain();
  const made = await temporaryFolder('check-');
  folder = made.path;
  closing.push(() => made.remove());
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** When each event happens, in seconds after Auto Scaling was asked. An absent event never happens. */
interface Course {
  readonly waiting?: number;
  readonly tagged?: number;
  /** When each load balancer removes the instance. */
  readonly removed?: readonly (number | undefined)[];
  readonly ended?: number;
  /** The state in which the wait ends. */
  readonly endState?: LifecycleState;
}

/** Plays a course of events to the drill, on a clock that only its sleeps move. */
async function play(
  { waiting, tagged, removed = [], ended, endState = 'Terminating:Proceed' }: Course,
  ...args: string[]
) {
  let ms = 0;
  let askedAt = Number.POSITIVE_INFINITY;
  const has = (second: number | undefined) => second !== undefined && ms - askedAt >= second * 1000;
  aws.autoScaling.on(TerminateInstanceInAutoScalingGroupCommand).callsFake(() => {
    askedAt = ms;
    return {};
  });
  aws.autoScaling.on(DescribeAutoScalingInstancesCommand, { InstanceIds: [INSTANCE] }).callsFake(() => {
    const leaving = askedAt < Number.POSITIVE_INFINITY ? 'Terminating' : 'InService';
    const LifecycleState = has(ended) ? endState : has(waiting) ? 'Terminating:Wait' : leaving;
    return { AutoScalingInstances: [{ AutoScalingGroupName: 'web', LifecycleState }] };
  });
  aws.ec2.on(DescribeInstancesCommand, { InstanceIds: [INSTANCE] }).callsFake(() => ({
    Reservations: [
      {
        Instances: [
          {
            PrivateIpAddress: '10.0.0.7',
            State: { Name: 'running' },
            Tags: [{ Key: DEFAULT_TAG.key, Value: has(tagged) ? DEFAULT_TAG.value : 'no' }],
          },
        ],
      },
    ],
  }));
  const sources = await Promise.all(
    removed.map((second) => startSocket(() => (has(second) ? csv() : csv([INSTANCE, 'UP', ''])))),
  );
  const haproxies = sources.flatMap((source) => ['--haproxy', source]);
  const result = await runCheck([...DRILL, '--yes', ...haproxies, ...args], {
    clock: {
      now: () => ms,
      async sleep(duration) {
        ms += duration;
      },
    },
  });
  const lines = result.out.slice(result.out.findIndex((line) => line.startsWith('Auto Scaling replaces')));
  return {
    ...result,
    lines: lines.map((line) => sources.reduce((text, source, i) => text.replace(source, `#${i + 1}`), line)),
  };
}

function terminations() {
  return aws.autoScaling.commandCalls(TerminateInstanceInAutoScalingGroupCommand).map(({ args: [{ input }] }) => input);
}

describe('a drill', () => {
  test('lets Auto Scaling replace the instance, and shows each event', async () => {
    const { code, lines } = await play({ waiting: 2, tagged: 4, removed: [12], ended: 300 });
    expect(terminations()).toEqual([{ InstanceId: INSTANCE, ShouldDecrementDesiredCapacity: false }]);
    expect(lines).toEqual([
      `Auto Scaling replaces ${INSTANCE} of web; the hook waits 300 s`,
      '2 s  waiting',
      '4 s  tagged',
      '12 s  out of the load balancer (#1)',
      '300 s  terminated',
      'drained: tagged after 4 s, out of the load balancer after 12 s, 288 s before it was terminated',
    ]);
    expect(code).toBe(0);
  });

  test('counts the last load balancer', async () => {
    const { code, lines } = await play({ waiting: 2, tagged: 4, removed: [20, 9], ended: 300 });
    expect(lines.at(-1)).toBe(
      'drained: tagged after 4 s, out of the load balancer after 20 s, 280 s before it was terminated',
    );
    expect(code).toBe(0);
  });

  test('says that no load balancer was given', async () => {
    const { code, lines } = await play({ waiting: 2, tagged: 4, ended: 300 });
    expect(lines.at(-1)).toBe('drained: tagged after 4 s, 296 s before it was terminated; no --haproxy was given');
    expect(code).toBe(0);
  });

  test.each<[string, Course, string]>([
    ['an instance that is never tagged', { waiting: 2, ended: 60 }, 'it was terminated without the tag'],
    [
      'a tag that comes with the end of the wait',
      { waiting: 2, tagged: 60, ended: 60 },
      'it got the tag after its wait',
    ],
    ['a tag that comes later', { waiting: 2, tagged: 61, ended: 60 }, 'it was terminated without the tag'],
    ['an instance that does not wait', { tagged: 2, ended: 3 }, 'it did not wait: the hook had no effect'],
    [
      'a load balancer that keeps it',
      { waiting: 2, tagged: 4, removed: [9, undefined], ended: 60 },
      '#2 still had it when it was terminated',
    ],
    [
      'a load balancer that removes it too late',
      { waiting: 2, tagged: 4, removed: [60], ended: 60 },
      '#1 still had it when it was terminated',
    ],
    [
      'an instance that is not terminated',
      { waiting: 2, tagged: 4 },
      'it was not terminated within its wait and 10 minutes',
    ],
  ])('fails for %s', async (_, course, problem) => {
    const { code, lines } = await play(course);
    expect(lines.filter((line) => line.startsWith('not drained'))).toEqual([`not drained: ${problem}`]);
    expect(lines.filter((line) => line.startsWith('drained'))).toEqual([]);
    expect(code).toBe(1);
  });

  test('fails where the chain has a broken link, however it ends', async () => {
    givenTagged('i-00000001');
    const { code, lines } = await play({ waiting: 2, tagged: 4, ended: 300 }, '--force');
    expect(lines.at(-1)).toMatch(/^drained/);
    expect(code).toBe(1);
  });

  test('says that the instance runs after its wait, when a lifecycle policy retains it', async () => {
    const { code, lines } = await play({ waiting: 2, tagged: 4, ended: 60, endState: 'Terminating:Retained' });
    expect(lines).toContain('60 s  retained: the wait is over, the instance runs');
    expect(code).toBe(0);
  });

  test('waits an hour longer for an instance that an ELB deregisters first', async () => {
    givenGroups({ TargetGroupARNs: ['arn:aws:elasticloadbalancing:us-west-2:123456789012:targetgroup/web/1'] });
    givenHooks('web', HOOK);
    const { code, lines } = await play({ waiting: 3600, tagged: 3602, ended: 3900 });
    expect(lines.at(-1)).toMatch(/^drained: tagged after 3602 s/);
    expect(code).toBe(0);
  });

  test('says that nothing replaces the instance while launches are suspended', async () => {
    givenGroups({ SuspendedProcesses: [{ ProcessName: 'AZRebalance' }, { ProcessName: 'Launch' }] });
    givenHooks('web', HOOK);
    const { out } = await play({ waiting: 2, tagged: 4, ended: 300 });
    expect(out).toContain(`Launch is suspended for web: nothing will replace ${INSTANCE}`);
  });

  test('has exit code 3 when it succeeds but a link could not be looked at', async () => {
    aws.sqs.on(GetQueueAttributesCommand).rejects(awsError('AccessDenied'));
    expect((await play({ waiting: 2, tagged: 4, ended: 300 })).code).toBe(3);
    expect((await play({ waiting: 2, ended: 300 })).code).toBe(1);
  });

  test('takes an instance that EC2 does not know any more for terminated', async () => {
    givenMember('InService');
    givenInstance();
    aws.autoScaling.on(TerminateInstanceInAutoScalingGroupCommand).callsFake(() => {
      aws.ec2.on(DescribeInstancesCommand, { InstanceIds: [INSTANCE] }).rejects(awsError('InvalidInstanceID.NotFound'));
      return {};
    });
    const { out } = await runCheck([...DRILL, '--yes']);
    expect(out).toContain('0 s  terminated');
  });

  test('keeps standard output to the JSON of the links', async () => {
    const { out, err } = await play({ waiting: 2, tagged: 4, ended: 300 }, '--json');
    expect(out).toHaveLength(1);
    expect(Object.keys(JSON.parse(out[0] ?? ''))).toEqual(['links']);
    expect(err.at(-1)).toMatch(/^drained/);
  });

  test('shows the complaint of a load balancer once, and asks it again', async () => {
    let asked = 0;
    const source = await startSocket(() => (++asked === 1 ? csv([INSTANCE, 'UP', '']) : asked < 5 ? 'no' : csv()));
    const { code, lines } = await play({ waiting: 2, tagged: 4, ended: 300 }, '--haproxy', source);
    expect(lines.filter((line) => line.includes("expected HAProxy's statistics"))).toHaveLength(1);
    expect(lines).toContain(`3 s  out of the load balancer (${source})`);
    expect(code).toBe(0);
  });

  test.each([[['--yes']], [['--yes', '--json']]])(
    'that is interrupted says that Auto Scaling continues: %j',
    async (args) => {
      givenMember('InService');
      givenInstance();
      aws.autoScaling.on(TerminateInstanceInAutoScalingGroupCommand).resolves({});
      const interruption = new AbortController();
      const { terminal, printed } = fakeTerminal(interruption.signal);
      const sleep = async () => {
        interruption.abort(new Error('interrupted'));
        interruption.signal.throwIfAborted();
      };
      const surroundings = { ask: undefined, clock: { now: () => 0, sleep }, localSha256: async () => CODE };
      await expect(main([...DRILL, ...args], process.env, terminal, surroundings)).rejects.toThrow('interrupted');
      expect(printed.err).toMatch(new RegExp(`^Auto Scaling continues to replace ${INSTANCE}$`, 'm'));
    },
  );
});

describe('before a drill', () => {
  test.each([
    ['y', 1],
    ['Yes', 1],
    ['', 0],
    ['n', 0],
    ['yesterday', 0],
  ])('the answer %j to the question terminates %i instances', async (answer, count) => {
    givenMember('InService');
    givenInstance();
    const ask = vi.fn(async () => answer);
    aws.autoScaling.on(TerminateInstanceInAutoScalingGroupCommand).callsFake(() => {
      givenMember('Terminated');
      return {};
    });
    const { code, err } = await runCheck(DRILL, { ask });
    expect(ask.mock.calls).toEqual([[`Terminate ${INSTANCE} and let web replace it? [y/N] `]]);
    expect(terminations()).toHaveLength(count);
    // The instance is gone at once, so that the drill fails.
    expect({ code, err }).toEqual(count === 0 ? { code: 0, err: ['nothing was terminated'] } : { code: 1, err: [] });
  });

  test('a broken link prevents a drill that nobody is asked about', async () => {
    givenTagged('i-00000001');
    givenMember('InService');
    givenInstance();
    aws.autoScaling.on(TerminateInstanceInAutoScalingGroupCommand).rejects(new Error('terminated'));
    const { code, out, err } = await runCheck([...DRILL, '--yes']);
    expect(out.join('\n')).toContain('broken ');
    expect(err).toEqual(['nothing was terminated, because a link is broken; --force starts the drill all the same']);
    expect(terminations()).toEqual([]);
    expect(code).toBe(1);
  });

  test('the stack has to be readable', async () => {
    aws.cloudFormation.on(DescribeStacksCommand).rejects(awsError('AccessDenied'));
    await expect(runCheck([...DRILL, '--yes'])).rejects.toThrow('--drill needs the stack, which cannot be read');
  });

  test('the question says that a link is broken', async () => {
    givenTagged('i-00000001');
    givenMember('InService');
    givenInstance();
    const ask = vi.fn(async () => 'n');
    await runCheck(DRILL, { ask });
    expect(ask.mock.calls).toEqual([[expect.stringMatching(/^A link of the chain is broken\. Terminate/)]]);
  });

  test('the answer is a line, or nothing at the end of the input; an interruption ends the question', async () => {
    vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const interruption = new AbortController();
    expect(await askUser('Go on?', interruption.signal, Readable.from(['y\n', 'n\n']))).toBe('y');
    expect(await askUser('Go on?', interruption.signal, Readable.from([]))).toBe('');
    const answer = askUser('Go on?', interruption.signal, new PassThrough());
    interruption.abort();
    await expect(answer).rejects.toThrow('aborted');
  });

  test.each<[string, () => unknown, string]>([
    [
      'in no group',
      () => aws.autoScaling.on(DescribeAutoScalingInstancesCommand).resolves({}),
      'is in no Auto Scaling group',
    ],
    ['not in service', () => givenMember('Standby'), 'is Standby in web; expected InService'],
    [
      'in a group without the hook',
      () => givenHooks('web', { ...HOOK, NotificationTargetARN: `${TOPIC}-2` }),
      'has no terminating hook to',
    ],
    [
      'in a group with a launching hook only',
      () => givenHooks('web', { ...HOOK, LifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING' }),
      'has no terminating hook to',
    ],
    [
      'tagged already',
      () => givenInstance({ Key: DEFAULT_TAG.key, Value: DEFAULT_TAG.value }),
      'carries the tag already',
    ],
  ])('an instance is refused that is %s', async (_, given, reason) => {
    givenMember('InService');
    givenInstance();
    given();
    await expect(runCheck([...DRILL, '--yes', '--force'])).rejects.toThrow(reason);
    expect(terminations()).toEqual([]);
  });

  test.each(['ScalingActivityInProgressFault', 'ScalingActivityInProgress', 'ResourceContentionFault'])(
    'a group that is busy is named: %s',
    async (name) => {
      givenMember('InService');
      givenInstance();
      aws.autoScaling.on(TerminateInstanceInAutoScalingGroupCommand).rejects(awsError(name));
      await expect(runCheck([...DRILL, '--yes'])).rejects.toThrow(
        'nothing was terminated: web is busy with another scaling activity; try again when it is done',
      );
    },
  );

  test('a load balancer is refused that does not have the instance, or cannot be asked', async () => {
    givenMember('InService');
    givenInstance();
    const without = await startSocket(() => csv(['i-00000009', 'UP', '10.0.0.9:80'], [INSTANCE, 'MAINT', '']));
    await expect(runCheck([...DRILL, '--yes', '--haproxy', without])).rejects.toThrow(
      `has no server in use with the name ${INSTANCE} or the address 10.0.0.7`,
    );
    await expect(runCheck([...DRILL, '--yes', '--haproxy', join(folder, 'nowhere')])).rejects.toThrow('ENOENT');
    expect(terminations()).toEqual([]);
  });
});

function givenMember(LifecycleState: string): void {
  aws.autoScaling.on(DescribeAutoScalingInstancesCommand).callsFake(() => ({
    AutoScalingInstances: [{ AutoScalingGroupName: 'web', LifecycleState }],
  }));
}

function givenInstance(...Tags: { Key: string; Value: string }[]): void {
  aws.ec2.on(DescribeInstancesCommand, { InstanceIds: [INSTANCE] }).resolves({
    Reservations: [{ Instances: [{ PrivateIpAddress: '10.0.0.7', State: { Name: 'running' }, Tags }] }],
  });
}

/** A stats socket that answers `show stat`, and nothing else. */
async function startSocket(answer: () => string): Promise<string> {
  const path = join(folder, `${randomUUID()}.sock`);
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('data', (chunk) => socket.end(String(chunk) === 'show stat\n' ? answer() : 'Unknown command'));
  });
  await once(server.listen(path), 'listening');
  closing.push(() => server.close());
  return path;
}

/** Statistics with the columns that count, among others. */
function csv(...rows: (readonly [name: string, status: string, address: string])[]): string {
  const lines = rows.map(([name, status, address]) => `web,${name},0,${status},7,${address},http,`);
  return ['# pxname,svname,qcur,status,weight,addr,mode,', 'web,FRONTEND,,OPEN,,,http,', ...lines, ''].join('\n');
}
