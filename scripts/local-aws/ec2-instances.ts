import { escapeXml, list, page, Refusal, readFilters, succeed, tagXml } from './ec2-query.ts';

/** An instance of this endpoint. A change in place shows in the next call. */
export interface Instance {
  readonly tags: Map<string, string>;
  privateIpAddress?: string;
  /** Running when absent. */
  state?: 'pending' | 'running' | 'shutting-down' | 'terminated' | 'stopping' | 'stopped';
  /** The start of this process when absent. */
  launchTime?: Date;
}

/** Refuses ids that are malformed, or that no instance has. */
export function checkIds(ids: string[], instances: Map<string, Instance>): void {
  const malformed = ids.find((id) => !/^i-([0-9a-f]{8}|[0-9a-f]{17})$/.test(id));
  if (malformed !== undefined) throw new Refusal('InvalidInstanceID.Malformed', `Invalid id: "${malformed}"`);
  const unknown = ids.filter((id) => !instances.has(id));
  if (unknown.length === 0) return;
  const these = unknown.length === 1 ? `ID '${unknown[0]}' does` : `IDs '${unknown.join(', ')}' do`;
  throw new Refusal('InvalidInstanceID.NotFound', `The instance ${these} not exist`);
}

const STATE_CODES = { pending: 0, running: 16, 'shutting-down': 32, terminated: 48, stopping: 64, stopped: 80 };

/** Answers DescribeInstances. */
export function describeInstances(parameters: URLSearchParams, instances: Map<string, Instance>): string {
  const ids = list(parameters, 'InstanceId');
  checkIds(ids, instances);
  if (ids.length > 0 && parameters.has('MaxResults')) {
    const message = 'The parameter instancesSet cannot be used with the parameter maxResults';
    throw new Refusal('InvalidParameterCombination', message);
  }
  const matches = readFilters(parameters);
  const reservations = [...instances]
    .filter(([id]) => ids.length === 0 || ids.includes(id))
    .filter(([, { tags, state = 'running' }]) =>
      matches({
        'instance-state-name': [state],
        ...Object.fromEntries([...tags].map(([key, value]) => [`tag:${key}`, [value]])),
      }),
    )
    .map(([id, instance]) => {
      // EC2 gives each launch a reservation of its own, and Auto Scaling launches one by one.
      const reservationId = `<reservationId>${escapeXml(id.replace('i-', 'r-'))}</reservationId>`;
      return `<item>${reservationId}<instancesSet><item>${instanceXml(id, instance)}</item></instancesSet></item>`;
    });
  const { items, nextToken } = page(parameters, reservations);
  return succeed('DescribeInstances', `<reservationSet>${items}</reservationSet>${nextToken}`);
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
