import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import {
  DescribeAutoScalingInstancesCommand,
  TerminateInstanceInAutoScalingGroupCommand,
} from '@aws-sdk/client-auto-scaling';
import { DescribeInstancesCommand } from '@aws-sdk/client-ec2';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { fakeTerminal } from '../../test/helpers/terminal.ts';
import { isServed } from '../haproxy-statistics.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { askUser, main } from './check.ts';
import {
  aws,
  awsError,
  CODE,
  givenHealthyChain,
  givenHooks,
  givenTagged,
  HOOK,
  runCheck,
  TOPIC,
} from './check-chain.ts';

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

/** When each thing happens, in seconds after Auto Scaling was asked; what is absent never does. */
interface Course {
  readonly waiting?: number;
  readonly tagged?: number;
  /** When the load balancer lets go, each by itself. */
  readonly letGo?: readonly (number | undefined)[];
  readonly ended?: number;
}

/** Plays a course of events to the drill, on a clock that only its sleeps move. */
async function play({ waiting, tagged, letGo = [], ended }: Course, ...args: string[]) {
  let ms = 0;
  let askedAt = Number.POSITIVE_INFINITY;
  const has = (second: number | undefined) => second !== undefined && ms - askedAt >= second * 1000;
  aws.autoScaling.on(TerminateInstanceInAutoScalingGroupCommand).callsFake(() => {
    askedAt = ms;
    return {};
  });
  aws.autoScaling.on(DescribeAutoScalingInstancesCommand, { InstanceIds: [INSTANCE] }).callsFake(() => {
    const leaving = askedAt < Number.POSITIVE_INFINITY ? 'Terminating' : 'InService';
    const LifecycleState = has(ended) ? 'Terminating:Proceed' : has(waiting) ? 'Terminating:Wait' : leaving;
    return { AutoScalingInstances: [{ AutoScalingGroupName: 'web', LifecycleState }] };
  });
  aws.ec2.on(DescribeInstancesCommand, { InstanceIds: [INSTANCE] }).callsFake(() => ({
    Reservations: [
      {
        Instances: [
          {
            PrivateIpAddress: '10.0.0.7',
            State: { Name: 'running' },
            Tags: has(tagged) ? [{ Key: 'remove_from_lb', Value: 'yes' }] : [{ Key: 'remove_from_lb', Value: 'no' }],
          },
        ],
      },
    ],
  }));
  const sources = await Promise.all(
    letGo.map((second) => startSocket(() => (has(second) ? csv() : csv([INSTANCE, 'UP', ''])))),
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
  test('has the instance replaced, and shows what happens to it', async () => {
    const { code, lines } = await play({ waiting: 2, tagged: 4, letGo: [12], ended: 300 });
    expect(terminations()).toEqual([{ InstanceId: INSTANCE, ShouldDecrementDesiredCapacity: false }]);
    expect(lines).toEqual([
      `Auto Scaling replaces ${INSTANCE} of web; the hook waits 300 s`,
      '2 s  waiting',
      '4 s  tagged',
      '12 s  gone from the load balancer (#1)',
      '300 s  terminated',
      'drained: tagged after 4 s, out of the load balancer after 12 s, 288 s before it was terminated',
    ]);
    expect(code).toBe(0);
  });

  test('counts the last load balancer to let go', async () => {
    const { code, lines } = await play({ waiting: 2, tagged: 4, letGo: [20, 9], ended: 300 });
    expect(lines.at(-1)).toBe(
      'drained: tagged after 4 s, out of the load balancer after 20 s, 280 s before it was terminated',
    );
    expect(code).toBe(0);
  });

  test('says that no load balancer was looked at', async () => {
    const { code, lines } = await play({ waiting: 2, tagged: 4, ended: 300 });
    expect(lines.at(-1)).toBe(
      'drained: tagged after 4 s, 296 s before it was terminated; the load balancer was not looked at (--haproxy)',
    );
    expect(code).toBe(0);
  });

  test.each<[string, Course, string]>([
    ['an instance that is never tagged', { waiting: 2, ended: 60 }, 'it was terminated without the tag'],
    [
      'a tag that comes with the end of the wait',
      { waiting: 2, tagged: 60, ended: 60 },
      'it got the tag when its wait was over',
    ],
    ['a tag that comes later', { waiting: 2, tagged: 61, ended: 60 }, 'it was terminated without the tag'],
    ['an instance that does not wait', { tagged: 2, ended: 3 }, 'it did not wait: the hook did not hold it'],
    [
      'a load balancer that keeps it',
      { waiting: 2, tagged: 4, letGo: [9, undefined], ended: 60 },
      '#2 still had it when it was terminated',
    ],
    [
      'a load balancer that lets go with the end',
      { waiting: 2, tagged: 4, letGo: [60], ended: 60 },
      '#1 still had it when it was terminated',
    ],
    [
      'an instance that is not terminated',
      { waiting: 2, tagged: 4 },
      'it was not terminated in the time of its wait and ten minutes more',
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

  test('shows once what a load balancer that cannot be asked says, and asks it again', async () => {
    let asked = 0;
    const source = await startSocket(() => (++asked === 1 ? csv([INSTANCE, 'UP', '']) : asked < 5 ? 'no' : csv()));
    const { code, lines } = await play({ waiting: 2, tagged: 4, ended: 300 }, '--haproxy', source);
    expect(lines.filter((line) => line.includes("expected HAProxy's statistics"))).toHaveLength(1);
    expect(lines).toContain(`3 s  gone from the load balancer (${source})`);
    expect(code).toBe(0);
  });

  test.each([[['--yes']], [['--yes', '--json']]])(
    'that is interrupted says that the instance goes on terminating: %j',
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
      expect(printed.err).toMatch(new RegExp(`^Auto Scaling goes on replacing ${INSTANCE}$`, 'm'));
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
    expect(ask.mock.calls).toEqual([[`Terminate ${INSTANCE} and have web replace it? [y/N] `]]);
    expect(terminations()).toHaveLength(count);
    // Here the instance is gone at once, so that the drill itself fails.
    expect({ code, err }).toEqual(count === 0 ? { code: 0, err: ['nothing was terminated'] } : { code: 1, err: [] });
  });

  test('a broken link prevents a drill that nobody is asked about', async () => {
    givenTagged('i-00000001');
    givenMember('InService');
    givenInstance();
    aws.autoScaling.on(TerminateInstanceInAutoScalingGroupCommand).rejects(new Error('terminated'));
    const { code, out, err } = await runCheck([...DRILL, '--yes']);
    expect(out.join('\n')).toContain('broken ');
    expect(err).toEqual([
      'nothing was terminated, because a link of the chain is broken; --force starts the drill all the same',
    ]);
    expect(terminations()).toEqual([]);
    expect(code).toBe(1);
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
    ['tagged already', () => givenInstance({ Key: 'remove_from_lb', Value: 'yes' }), 'is tagged already'],
  ])('an instance is refused that is %s', async (_, given, reason) => {
    givenMember('InService');
    givenInstance();
    given();
    await expect(runCheck([...DRILL, '--yes', '--force'])).rejects.toThrow(reason);
    expect(terminations()).toEqual([]);
  });

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

describe("HAProxy's statistics", () => {
  const server = { instanceId: INSTANCE, address: '10.0.0.7' };

  test.each<[string, [string, string, string][], boolean]>([
    ['a server named like the instance', [[INSTANCE, 'UP', '']], true],
    ['a server at its address', [['web1', 'no check', '10.0.0.7:8080']], true],
    ['a server at another address', [['web1', 'UP', '10.0.0.70:8080']], false],
    ['one that is going up', [[INSTANCE, 'DOWN 1/2', '']], true],
    ['one that is drained', [[INSTANCE, 'DRAIN', '']], false],
    ['one in maintenance', [[INSTANCE, 'MAINT (via web/i-1)', '']], false],
    ['one that is not balanced to', [[INSTANCE, 'NOLB', '']], false],
    [
      'one of two backends has drained it',
      [
        [INSTANCE, 'DRAIN', ''],
        [INSTANCE, 'UP', ''],
      ],
      true,
    ],
    ['none', [], false],
  ])('%s', async (_, rows, expected) => {
    expect(await isServed(await startSocket(() => csv(...rows)), server)).toBe(expected);
  });

  test('are read from a page too', async () => {
    let status = 200;
    const page = createHttpServer((_, response) => response.writeHead(status).end(csv([INSTANCE, 'UP', ''])));
    await once(page.listen(0, '127.0.0.1'), 'listening');
    closing.push(() => page.close());
    const url = `http://127.0.0.1:${(page.address() as AddressInfo).port}/;csv`;
    expect(await isServed(url, server)).toBe(true);
    status = 401;
    await expect(isServed(url, server)).rejects.toThrow(`--haproxy ${url}: HTTP status 401`);
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
