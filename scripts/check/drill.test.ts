import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import {
  type AutoScalingGroup,
  DescribeAutoScalingInstancesCommand,
  type Instance,
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
} from './healthy-chain.ts';

const INSTANCE = 'i-0123456789abcdef0';
const DRILL = ['--stack', 'drain', '--drill', INSTANCE];
const DRAINED = { waiting: 2, tagged: 4, ended: 300 };

let folder: string;
const closing: (() => unknown)[] = [];

beforeEach(async () => {
  givenHealthyChain();
  givenGroup({});
  givenInstance(() => 'InService');
  aws.autoScaling.on(TerminateInstanceInAutoScalingGroupCommand).resolves({});
  const made = await temporaryFolder('check-');
  folder = made.path;
  closing.push(() => made.remove());
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** The group web with the instance. */
function givenGroup(changes: Partial<AutoScalingGroup>, hook = HOOK, LifecycleState: LifecycleState = 'InService') {
  givenGroups({ Instances: [{ InstanceId: INSTANCE, LifecycleState } as Instance], ...changes });
  givenHooks('web', hook);
}

/** The state of the instance and the value of the tag, each time that AWS is asked. */
function givenInstance(stateOf: () => string, tagValueOf = () => 'no'): void {
  aws.autoScaling
    .on(DescribeAutoScalingInstancesCommand, { InstanceIds: [INSTANCE] })
    .callsFake(() => ({ AutoScalingInstances: [{ LifecycleState: stateOf() }] }));
  aws.ec2.on(DescribeInstancesCommand, { InstanceIds: [INSTANCE] }).callsFake(() => {
    const Tags = [{ Key: DEFAULT_TAG.key, Value: tagValueOf() }];
    return { Reservations: [{ Instances: [{ PrivateIpAddress: '10.0.0.7', Tags }] }] };
  });
}

/** When each event happens, in seconds after Auto Scaling was asked. An absent event never happens. */
interface Course {
  readonly waiting?: number;
  readonly waitState?: LifecycleState;
  readonly tagged?: number;
  /** When each load balancer removes the instance. */
  readonly removed?: readonly (number | undefined)[];
  readonly ended?: number;
  /** The state in which the wait ends. */
  readonly endState?: LifecycleState;
}

/** Plays a course of events to the drill, on a clock that only its sleeps move. */
async function play(course: Course, ...args: string[]) {
  const { waiting, tagged, removed = [], ended, endState = 'Terminating:Proceed' } = course;
  const { waitState = 'Terminating:Wait' } = course;
  let ms = 0;
  let isAsked = false;
  const has = (second: number | undefined) => second !== undefined && isAsked && ms >= second * 1000;
  const stateOf = () => (has(waiting) ? waitState : 'Terminating');
  givenInstance(
    () => (has(ended) ? endState : stateOf()),
    () => (has(tagged) ? DEFAULT_TAG.value : 'no'),
  );
  aws.autoScaling.on(TerminateInstanceInAutoScalingGroupCommand).callsFake(() => {
    isAsked = true;
  });
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
    const { code, lines } = await play({ ...DRAINED, removed: [12] });
    expect(terminations()).toEqual([{ InstanceId: INSTANCE, ShouldDecrementDesiredCapacity: false }]);
    expect(lines).toEqual([
      `Auto Scaling replaces ${INSTANCE} of web; the hook waits 300 s`,
      '2 s  waiting',
      '4 s  tagged',
      '12 s  out of the load balancer (#1)',
      '300 s  terminated',
      'drained: tagged after 4 s, out of the load balancer after 12 s, 288 s before the wait ended',
    ]);
    expect(code).toBe(0);
  });

  test.each<[string, Course, string]>([
    ['counts the last load balancer', { ...DRAINED, removed: [20, 9] }, 'out of the load balancer after 20 s, 280 s '],
    ['says that no load balancer was given', DRAINED, '296 s before the wait ended; no --haproxy was given'],
    ['follows an instance into a warm pool', { ...DRAINED, waitState: 'Warmed:Pending:Wait' }, '296 s before'],
    ['may end with a retained instance', { ...DRAINED, endState: 'Terminating:Retained' }, '296 s before'],
    ['may end with an instance that left its group', { ...DRAINED, endState: '' as LifecycleState }, '296 s before'],
  ])('that succeeds %s', async (_, course, verdict) => {
    const { code, lines } = await play(course);
    expect(lines.at(-1)).toMatch(/^drained: tagged after 4 s, /);
    expect(lines.at(-1)).toContain(verdict);
    expect(lines.at(-2)).toBe(
      course.endState?.endsWith('Retained')
        ? '300 s  retained: the wait is over, the instance runs'
        : '300 s  terminated',
    );
    expect(code).toBe(0);
  });

  test.each<[string, Course, string]>([
    ['an instance that is never tagged', { waiting: 2, ended: 60 }, 'it had no tag before it was terminated'],
    ['a late tag', { waiting: 2, tagged: 60, ended: 60 }, 'it had no tag before it was terminated'],
    ['an instance that does not wait', { tagged: 2, ended: 3 }, 'it did not wait: the hook had no effect'],
    [
      'a load balancer that keeps it',
      { ...DRAINED, removed: [9, undefined] },
      '#2 still had it when it was terminated',
    ],
    ['a late load balancer', { ...DRAINED, removed: [300] }, '#1 still had it when it was terminated'],
    ['an instance that stays', { waiting: 2, tagged: 4 }, 'it was not terminated within its wait and 10 minutes'],
  ])('fails for %s', async (_, course, problem) => {
    const { code, lines } = await play(course);
    expect(lines.filter((line) => /^(not )?drained/.test(line))).toEqual([`not drained: ${problem}`]);
    expect(code).toBe(1);
  });

  test.each([
    { TargetGroupARNs: ['arn:aws:elasticloadbalancing:us-west-2:123456789012:targetgroup/web/1'] },
    { LoadBalancerNames: ['web'] },
    { TrafficSources: [{ Identifier: 'web' }] },
  ])('says that an ELB deregisters the instance first, and waits an hour longer: %j', async (elb) => {
    givenGroup(elb);
    const { code, lines, out } = await play({ waiting: 3600, tagged: 3602, ended: 3900 });
    expect(out).toContain(`an ELB deregisters ${INSTANCE} first: the wait may begin up to an hour later`);
    expect(lines.at(-1)).toMatch(/^drained: tagged after 3602 s/);
    expect(code).toBe(0);
  });

  test('says that nothing replaces the instance while launches are suspended', async () => {
    givenGroup({ SuspendedProcesses: [{ ProcessName: 'AZRebalance' }, { ProcessName: 'Launch' }] });
    const { out } = await play(DRAINED);
    expect(out).toContain(`Launch is suspended for web: nothing will replace ${INSTANCE}`);
  });

  test('has the exit code of the links when it succeeds', async () => {
    aws.sqs.on(GetQueueAttributesCommand).rejects(awsError('AccessDenied'));
    expect((await play(DRAINED)).code).toBe(3);
    givenTagged(INSTANCE);
    const { code, lines } = await play(DRAINED, '--force');
    expect(lines.at(-1)).toMatch(/^drained/);
    expect(code).toBe(1);
  });

  test('keeps standard output to the JSON of the links', async () => {
    const { out, err } = await play(DRAINED, '--json');
    expect(out).toHaveLength(1);
    expect(Object.keys(JSON.parse(out[0] ?? ''))).toEqual(['links']);
    expect(err.at(-1)).toMatch(/^drained/);
  });

  test('shows the complaint of a load balancer once, and asks it again', async () => {
    let asked = 0;
    const source = await startSocket(() => (++asked === 1 ? csv([INSTANCE, 'UP', '']) : asked < 5 ? 'no' : csv()));
    const { code, lines } = await play(DRAINED, '--haproxy', source);
    expect(lines.filter((line) => line.includes("expected HAProxy's statistics"))).toHaveLength(1);
    expect(lines).toContain(`3 s  out of the load balancer (${source})`);
    expect(code).toBe(0);
  });

  test('that is interrupted says that Auto Scaling continues', async () => {
    const interruption = new AbortController();
    const { terminal, printed } = fakeTerminal(interruption.signal);
    const sleep = async () => {
      interruption.abort(new Error('interrupted'));
      interruption.signal.throwIfAborted();
    };
    const surroundings = { ask: undefined, clock: { now: () => 0, sleep }, localSha256: async () => CODE };
    await expect(main([...DRILL, '--yes'], process.env, terminal, surroundings)).rejects.toThrow('interrupted');
    expect(printed.err).toBe(`Auto Scaling continues to replace ${INSTANCE}\n`);
  });
});

describe('before a drill', () => {
  test.each([
    ['y', 1],
    ['Yes', 1],
    ['', 0],
    ['yesterday', 0],
  ])('the answer %j to the question terminates %i instances', async (answer, count) => {
    const ask = vi.fn(async () => answer);
    aws.autoScaling
      .on(TerminateInstanceInAutoScalingGroupCommand)
      .callsFake(() => givenInstance(() => 'Terminating:Proceed'));
    const { code, err } = await runCheck(DRILL, { ask });
    expect(ask.mock.calls).toEqual([[`Terminate ${INSTANCE} and let web replace it? [y/N] `]]);
    expect(terminations()).toHaveLength(count);
    // The instance is gone at once, so that the drill fails.
    expect({ code, err }).toEqual(count === 0 ? { code: 0, err: ['nothing was terminated'] } : { code: 1, err: [] });
  });

  test('nothing in the name of the group controls the terminal, before and during the drill', async () => {
    const name = 'w\x1b[2K\u202eb';
    givenGroup({ AutoScalingGroupName: name, SuspendedProcesses: [{ ProcessName: 'Launch' }] });
    givenHooks(name, HOOK);
    const ask = vi.fn(async () => 'y');
    aws.autoScaling
      .on(TerminateInstanceInAutoScalingGroupCommand)
      .callsFake(() => givenInstance(() => 'Terminating:Proceed'));
    const { out } = await runCheck(DRILL, { ask });
    expect(ask.mock.calls).toEqual([[`Terminate ${INSTANCE} and let w?[2K?b replace it? [y/N] `]]);
    expect(out).toContain(`Launch is suspended for w?[2K?b: nothing will replace ${INSTANCE}`);
  });

  test('a broken link prevents the drill with --yes, and comes with the question', async () => {
    givenTagged(INSTANCE);
    const { code, out, err } = await runCheck([...DRILL, '--yes']);
    expect(out.join('\n')).toContain('broken ');
    expect(err).toEqual(['nothing was terminated, because a link is broken; --force starts the drill all the same']);
    expect(code).toBe(1);
    const ask = vi.fn(async () => 'n');
    await runCheck(DRILL, { ask });
    expect(ask.mock.calls).toEqual([[expect.stringMatching(/^A link of the chain is broken\. Terminate/)]]);
    expect(terminations()).toEqual([]);
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

  const LAUNCHING = { ...HOOK, LifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING' };
  const BUSY = 'nothing was terminated: web is busy with another scaling activity; try again when it is done';
  const terminationFails = (name: string) =>
    aws.autoScaling.on(TerminateInstanceInAutoScalingGroupCommand).rejects(awsError(name));

  test.each<[string, () => unknown, string]>([
    [
      'the stack cannot be read',
      () => aws.cloudFormation.on(DescribeStacksCommand).rejects(awsError('AccessDenied')),
      '--drill needs the stack',
    ],
    ['the instance is in no group', () => givenGroup({ Instances: [] }), 'is in no group that the check looked at'],
    ['the instance is not in service', () => givenGroup({}, HOOK, 'Standby'), 'is Standby in web; expected InService'],
    [
      'the group has only a launching hook',
      () => givenGroup({}, LAUNCHING),
      'web has no terminating hook to the topic',
    ],
    [
      'the instance has the tag',
      () =>
        givenInstance(
          () => 'InService',
          () => DEFAULT_TAG.value,
        ),
      'has the tag already',
    ],
    ['the group is busy', () => terminationFails('ScalingActivityInProgressFault'), BUSY],
    ['the group is in use', () => terminationFails('ResourceContentionFault'), BUSY],
    ['Auto Scaling refuses', () => terminationFails('ValidationError'), 'ValidationError'],
  ])('an error says that %s', async (_, given, reason) => {
    given();
    await expect(runCheck([...DRILL, '--yes', '--force'])).rejects.toThrow(reason);
    expect(terminations().length).toBe(reason === BUSY || reason === 'ValidationError' ? 1 : 0);
  });

  test('a load balancer is refused that does not have the instance, or cannot be asked', async () => {
    const without = await startSocket(() => csv(['i-00000009', 'UP', '10.0.0.9:80'], [INSTANCE, 'MAINT', '']));
    await expect(runCheck([...DRILL, '--yes', '--haproxy', without])).rejects.toThrow(
      `has no server in use with the name ${INSTANCE} or the address 10.0.0.7`,
    );
    await expect(runCheck([...DRILL, '--yes', '--haproxy', join(folder, 'nowhere')])).rejects.toThrow('ENOENT');
    expect(terminations()).toEqual([]);
  });
});

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
