import { Ec2Error, escapeXml, list, paginate, readFilters, successXml, tagXml } from './ec2-query.ts';

const STATE_CODES = { pending: 0, running: 16, 'shutting-down': 32, terminated: 48, stopping: 64, stopped: 80 };

/** An instance of this endpoint. Calls read this object, so a test may change the object. */
export interface Instance {
  readonly tags: Map<string, string>;
  privateIpAddress?: string;
  /** `running` by default. */
  state?: keyof typeof STATE_CODES;
  /** The start of this process by default. */
  launchTime?: Date;
}

/** @throws Ec2Error for an id that is malformed or unknown. */
export function checkIds(ids: string[], instances: Map<string, Instance>): void {
  const malformed = ids.find((id) => !/^i-([0-9a-f]{8}|[0-9a-f]{17})$/.test(id));
  if (malformed !== undefined) throw new Ec2Error('InvalidInstanceID.Malformed', `Invalid id: "${malformed}"`);
  const unknown = ids.find((id) => !instances.has(id));
  if (unknown !== undefined) {
    throw new Ec2Error('InvalidInstanceID.NotFound', `The instance ID '${unknown}' does not exist`);
  }
}

export function describeInstances(parameters: URLSearchParams, instances: Map<string, Instance>): string {
  const ids = list(parameters, 'InstanceId');
  checkIds(ids, instances);
  if (ids.length > 0 && parameters.has('MaxResults')) {
    const message = 'The parameter instancesSet cannot be used with the parameter maxResults';
    throw new Ec2Error('InvalidParameterCombination', message);
  }
  const matchesFilters = readFilters(parameters);
  const reservations = [...instances]
    .filter(([id]) => ids.length === 0 || ids.includes(id))
    .filter(([, { tags, state = 'running' }]) => {
      const byTag = Object.fromEntries([...tags].map(([key, value]) => [`tag:${key}`, value]));
      return matchesFilters({ 'instance-state-name': state, ...byTag });
    })
    .map(([id, instance]) => {
      // EC2 gives each launch its own reservation, and Auto Scaling launches instances one by one.
      const reservationId = `<reservationId>${escapeXml(id.replace('i-', 'r-'))}</reservationId>`;
      return `<item>${reservationId}<instancesSet><item>${instanceXml(id, instance)}</item></instancesSet></item>`;
    });
  const { items, nextToken } = paginate(parameters, reservations);
  return successXml('DescribeInstances', `<reservationSet>${items}</reservationSet>${nextToken}`);
}

const PROCESS_START = new Date(performance.timeOrigin);

function instanceXml(
  id: string,
  { tags, state = 'running', privateIpAddress, launchTime = PROCESS_START }: Instance,
): string {
  const address = privateIpAddress ? `<privateIpAddress>${escapeXml(privateIpAddress)}</privateIpAddress>` : '';
  const tagSet = [...tags].map(([key, value]) => `<item>${tagXml(key, value)}</item>`).join('');
  const stateXml = `<instanceState><code>${STATE_CODES[state]}</code><name>${state}</name></instanceState>`;
  const launched = `<launchTime>${launchTime.toISOString()}</launchTime>`;
  return `<instanceId>${escapeXml(id)}</instanceId>${stateXml}${launched}${address}<tagSet>${tagSet}</tagSet>`;
}
