import { type AutoScalingClient, type Instance, paginateDescribeWarmPool } from '@aws-sdk/client-auto-scaling';
import { type EC2Client, paginateDescribeInstances } from '@aws-sdk/client-ec2';
import type { Settings } from '../../src/settings.ts';
import { awsCommand } from './aws-command.ts';
import type { Group } from './groups.ts';
import { examine, findings, type Link } from './link.ts';
import type { Stack } from './stack.ts';

type Tag = Settings['tag'];

interface Fleet {
  readonly members: readonly Instance[];
  /** The ids of those that carry the tag. */
  readonly tagged: ReadonlySet<string>;
}

const WAITING_TO_LEAVE: readonly unknown[] = ['Terminating:Wait', 'Warmed:Pending:Wait', 'ReplacingRootVolume:Wait'];

/** Whether the tags of the group's instances are true: in service without, waiting to leave with it. */
export async function checkInstances(
  autoScaling: AutoScalingClient,
  ec2: EC2Client,
  { region }: Stack,
  tag: Tag,
  group: Group,
): Promise<readonly Link[]> {
  const reading = read();
  return [
    ...(await examine('in service', group.name, async () => checkInService(await reading))),
    ...(await examine('waiting to leave', group.name, async () => checkWaiting(await reading))),
  ];

  async function read(): Promise<Fleet> {
    const members = [...(group.description.Instances ?? []), ...(await warmPool(autoScaling, group))];
    return { members, tagged: await taggedInstances(ec2, group.name, tag) };
  }

  function checkInService({ members, tagged }: Fleet): Link {
    const as = findings('in service', group.name);
    const ids = idsOf(members.filter(({ LifecycleState }) => LifecycleState === 'InService'));
    const wrong = ids.filter((id) => tagged.has(id));
    if (wrong.length === 0) return as.ok(`${ids.length} instances, none tagged ${tag.key}=${tag.value}`);
    const found = `${wrong.length} of ${ids.length} tagged ${tag.key}=${tag.value} (${wrong.join(', ')}): they get no requests, and the next scale-in leaves fewer servers than it seems`;
    return as.broken(found, tagCommand('delete-tags', wrong));
  }

  function checkWaiting({ members, tagged }: Fleet): Link {
    const as = findings('waiting to leave', group.name);
    const ids = idsOf(members.filter(({ LifecycleState }) => WAITING_TO_LEAVE.includes(LifecycleState)));
    const wrong = ids.filter((id) => !tagged.has(id));
    if (wrong.length === 0) return as.ok(ids.length === 0 ? 'no instance' : `${ids.length} instances, all tagged`);
    const found = `${wrong.length} of ${ids.length} without the tag (${wrong.join(', ')}): unless a message is on its way this second, they are killed under load`;
    return as.broken(found, tagCommand('create-tags', wrong));
  }

  function tagCommand(operation: 'create-tags' | 'delete-tags', ids: readonly string[]): string {
    return awsCommand(region, `ec2 ${operation}`, { resources: ids, tags: [{ Key: tag.key, Value: tag.value }] });
  }
}

function idsOf(instances: readonly Instance[]): string[] {
  return instances.flatMap(({ InstanceId }) => InstanceId ?? []);
}

/** The group's answer has none of the instances that are in its warm pool, or on their way back there. */
async function warmPool(autoScaling: AutoScalingClient, { name, description }: Group): Promise<readonly Instance[]> {
  if (!description.WarmPoolConfiguration) return [];
  const instances: Instance[] = [];
  const pages = paginateDescribeWarmPool({ client: autoScaling }, { AutoScalingGroupName: name });
  for await (const { Instances = [] } of pages) instances.push(...Instances);
  return instances;
}

async function taggedInstances(ec2: EC2Client, group: string, tag: Tag): Promise<ReadonlySet<string>> {
  const ids = new Set<string>();
  const Filters = [
    { Name: 'tag:aws:autoscaling:groupName', Values: [exactly(group)] },
    { Name: `tag:${tag.key}`, Values: [exactly(tag.value)] },
  ];
  for await (const { Reservations = [] } of paginateDescribeInstances({ client: ec2 }, { Filters })) {
    for (const { InstanceId } of Reservations.flatMap(({ Instances = [] }) => Instances))
      if (InstanceId) ids.add(InstanceId);
  }
  return ids;
}

/** A filter's value in which nothing is a wildcard. */
function exactly(value: string): string {
  return value.replace(/[*?\\]/g, '\\$&');
}
