import { Ec2Error, element, list } from './ec2-query.ts';

/** An instance of this endpoint. Calls read this object, so a test may change the object. */
export interface Instance {
  readonly tags: Map<string, string>;
  privateIpAddress?: string;
  ipv6Address?: string;
  /** The state in Auto Scaling, `InService` by default. CompleteLifecycleAction ends only `Terminating:Wait`. */
  lifecycleState?: string;
  /** `running` by default. */
  state?: 'pending' | 'running' | 'shutting-down' | 'terminated' | 'stopping' | 'stopped';
}

type Instances = ReadonlyMap<string, Instance>;

/** The actions of this endpoint. Each returns the content of the answer. */
export const ACTIONS: Readonly<Record<string, (parameters: URLSearchParams, instances: Instances) => string>> = {
  CreateTags(parameters, instances) {
    for (const { tags } of resources(parameters, instances)) {
      for (const { key, value } of namedTags(parameters)) tags.set(key, value);
    }
    return '<return>true</return>';
  },

  DeleteTags(parameters, instances) {
    for (const { tags } of resources(parameters, instances)) {
      for (const { key, value } of namedTags(parameters)) if (tags.get(key) === value) tags.delete(key);
    }
    return '<return>true</return>';
  },

  DescribeInstances(parameters, instances) {
    // EC2 gives each launch its own reservation, and Auto Scaling launches instances one by one.
    const reservations = [...instances]
      .filter(matchesFilters(parameters))
      .map((instance) => `<item><instancesSet>${instanceXml(instance)}</instancesSet></item>`);
    const from = Number(parameters.get('NextToken') ?? 0);
    const to = from + Number(parameters.get('MaxResults') ?? MAX_PAGE_SIZE);
    const nextToken = to < reservations.length ? `<nextToken>${to}</nextToken>` : '';
    return `<reservationSet>${reservations.slice(from, to).join('')}</reservationSet>${nextToken}`;
  },
};

// Pages have this size without MaxResults too, so that tests notice a caller that ignores the token.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html
const MAX_PAGE_SIZE = 1000;

/** The instances `ResourceId.1`, `ResourceId.2`, … */
function resources(parameters: URLSearchParams, instances: Instances): Instance[] {
  return list(parameters, 'ResourceId').map((id) => {
    const instance = instances.get(id);
    if (instance) return instance;
    throw new Ec2Error('InvalidInstanceID.NotFound', `The instance ID '${id}' does not exist`);
  });
}

/** The pairs `Tag.1.Key` and `Tag.1.Value`, `Tag.2.Key` … */
function namedTags(parameters: URLSearchParams) {
  const tags: { key: string; value: string }[] = [];
  for (let n = 1; ; n += 1) {
    const key = parameters.get(`Tag.${n}.Key`);
    if (key === null) return tags;
    tags.push({ key, value: parameters.get(`Tag.${n}.Value`) ?? '' });
  }
}

/** Reads `Filter.1`, `Filter.2`, … and says whether an instance matches every filter. */
function matchesFilters(parameters: URLSearchParams) {
  const filters: { name: string; values: string[] }[] = [];
  for (let n = 1; parameters.has(`Filter.${n}.Name`); n += 1) {
    filters.push({ name: parameters.get(`Filter.${n}.Name`) ?? '', values: list(parameters, `Filter.${n}.Value`) });
  }
  return (instance: [string, Instance]): boolean =>
    filters.every(({ name, values }) => {
      const actuals = actualsOf(name, instance);
      return values.some((value) => actuals.some((actual) => matchesWildcards(value, actual)));
    });
}

/** What a filter of this name compares. */
function actualsOf(filter: string, [id, { tags, state = 'running' }]: [string, Instance]): string[] {
  if (filter.startsWith('tag:')) {
    const actual = tags.get(filter.slice('tag:'.length));
    return actual === undefined ? [] : [actual];
  }
  if (filter === 'tag-key') return [...tags.keys()];
  if (filter === 'instance-id') return [id];
  if (filter === 'instance-state-name') return [state];
  throw new Ec2Error('InvalidParameterValue', `The filter '${filter}' is invalid`);
}

/**
 * EC2's wildcards: `*` is any text, `?` is one character, and a backslash takes the next character as it is.
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html
 */
function matchesWildcards(pattern: string, actual: string): boolean {
  const source = pattern.replace(/\\?./gsu, (part) => {
    if (part === '*') return '.*';
    if (part === '?') return '.';
    return `\\u{${part.codePointAt(part.length > 1 ? 1 : 0)?.toString(16)}}`;
  });
  return new RegExp(`^${source}$`, 'su').test(actual);
}

function instanceXml([id, { tags, state = 'running', privateIpAddress, ipv6Address }]: [string, Instance]): string {
  const tagItems = [...tags].map(([key, value]) => `<item>${element('key', key)}${element('value', value)}</item>`);
  const fields = [
    element('instanceId', id),
    `<instanceState>${element('name', state)}</instanceState>`,
    element('privateIpAddress', privateIpAddress || undefined),
    element('ipv6Address', ipv6Address || undefined),
    `<tagSet>${tagItems.join('')}</tagSet>`,
  ];
  return `<item>${fields.join('')}</item>`;
}
