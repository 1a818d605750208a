import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

/** An instance as this endpoint keeps it; change it in place to change what the next call sees. */
export interface Instance {
  readonly tags: Map<string, string>;
  privateIpAddress?: string;
  state?: 'pending' | 'running' | 'shutting-down' | 'terminated' | 'stopping' | 'stopped';
}

/**
 * What goes wrong with a call: an error in EC2's own XML, a connection reset, no answer at all, an answer that breaks
 * off after its headers, or a page from something that is not EC2.
 */
export type Fault =
  | { readonly status: number; readonly code: string }
  | { readonly status: number; readonly html: string }
  | 'reset'
  | 'hang'
  | 'hang in body';

/** One call as it came in, with the milliseconds since the endpoint started. */
export interface Call {
  readonly action: string;
  readonly parameters: URLSearchParams;
  /** The access key id that the call was signed with; absent when it was not signed. */
  readonly accessKeyId: string | undefined;
  /** The token of temporary credentials; absent when the credentials are not temporary. */
  readonly sessionToken: string | undefined;
  readonly at: number;
  /** HTTP status of the answer, or the fault that stood in its place. */
  outcome: number | Fault;
}

export interface Ec2Endpoint {
  readonly url: string;
  readonly instances: Map<string, Instance>;
  readonly calls: Call[];
  /** Faults for the next calls, one each, first come first served. */
  readonly faults: Fault[];
  /** A fault for every call that `faults` leaves alone. */
  lastingFault: Fault | undefined;
  close(): Promise<void>;
}

export interface Ec2EndpointOptions {
  /** 0, the default, lets the system choose one. */
  readonly port?: number;
  /** Throttle as EC2 does: so many tokens, so many more each second. None by default. */
  readonly bucket?: { readonly capacity: number; readonly refillPerSecond: number };
  /** Milliseconds that every answer takes. */
  readonly delayMs?: number;
}

/**
 * Starts an EC2 endpoint on the loopback interface that keeps instances and tags in memory. It speaks EC2's query
 * protocol (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Query-Requests.html) for CreateTags, DeleteTags,
 * DescribeTags and DescribeInstances. Signatures are not checked.
 */
export async function startEc2Endpoint(options: Ec2EndpointOptions = {}): Promise<Ec2Endpoint> {
  const started = performance.now();
  const takeToken = options.bucket ? tokenBucket(options.bucket) : () => true;
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      // A client that goes away in the middle of its own request is its own affair; the rest is a fault of ours.
      if (!request.destroyed) send(response, 500, errorXml('InternalError', String(error)));
    });
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parameters = new URLSearchParams(await text(request));
    const action = parameters.get('Action') ?? '';
    const accessKeyId = /Credential=([^/]+)/.exec(request.headers.authorization ?? '')?.[1];
    const sessionToken = request.headers['x-amz-security-token']?.toString();
    const call: Call = { action, parameters, accessKeyId, sessionToken, at: performance.now() - started, outcome: 0 };
    endpoint.calls.push(call);
    const fault = endpoint.faults.shift() ?? endpoint.lastingFault;
    if (options.delayMs) await sleep(options.delayMs);
    if (fault) {
      call.outcome = fault;
      fail(fault, response);
      return;
    }
    try {
      if (!takeToken()) throw new Refusal('RequestLimitExceeded', 'Request limit exceeded.', 503);
      const xml = run(action, parameters, endpoint.instances);
      call.outcome = 200;
      send(response, 200, xml);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      call.outcome = error.status;
      send(response, error.status, errorXml(error.code, error.message));
    }
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    // The longest queue that the system allows: a thousand functions may connect in the same moment.
    server.listen({ port: options.port ?? 0, host: '127.0.0.1', backlog: 4096 }, resolve);
  });
  const { address, port } = server.address() as AddressInfo;
  const endpoint: Ec2Endpoint = {
    url: `http://${address}:${port}`,
    instances: new Map(),
    calls: [],
    faults: [],
    lastingFault: undefined,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return endpoint;
}

function tokenBucket({ capacity, refillPerSecond }: { capacity: number; refillPerSecond: number }): () => boolean {
  let tokens = capacity;
  let filled = performance.now();
  return () => {
    const now = performance.now();
    tokens = Math.min(capacity, tokens + ((now - filled) / 1000) * refillPerSecond);
    filled = now;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  };
}

function fail(fault: Fault, response: ServerResponse): void {
  if (fault === 'hang') return;
  if (fault === 'reset') {
    response.socket?.resetAndDestroy();
  } else if (fault === 'hang in body') {
    response.writeHead(200, { 'content-type': 'text/xml', 'content-length': 1000 });
    response.write('<?xml version="1.0"');
  } else if ('html' in fault) {
    response.writeHead(fault.status, { 'content-type': 'text/html' }).end(fault.html);
  } else {
    send(response, fault.status, errorXml(fault.code, `${fault.code}, as this endpoint was told to answer`));
  }
}

function send(response: ServerResponse, status: number, xml: string): void {
  response.writeHead(status, { 'content-type': 'text/xml;charset=UTF-8' });
  response.end(`<?xml version="1.0" encoding="UTF-8"?>\n${xml}`);
}

/** An error of EC2's as an answer; https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html */
class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly code: string;

  constructor(code: string, message: string, status = 400) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

function run(action: string, parameters: URLSearchParams, instances: Map<string, Instance>): string {
  switch (action) {
    case 'CreateTags':
    case 'DeleteTags':
      return changeTags(action, parameters, instances);
    case 'DescribeTags':
      return describeTags(parameters, instances);
    case 'DescribeInstances':
      return describeInstances(parameters, instances);
    default:
      throw new Refusal('InvalidAction', `The action ${action} is not valid for this web service.`);
  }
}

const MAX_TAGS = 50;

function changeTags(
  action: 'CreateTags' | 'DeleteTags',
  parameters: URLSearchParams,
  instances: Map<string, Instance>,
): string {
  const ids = list(parameters, 'ResourceId');
  if (ids.length === 0) throw new Refusal('MissingParameter', 'The request must contain the parameter resourceIdSet');
  checkIds(ids, instances);
  const tags = tagList(parameters);
  const targets = ids.flatMap((id) => instances.get(id) ?? []);
  if (action === 'CreateTags') {
    checkTags(tags, targets);
    for (const target of targets) for (const { key, value } of tags) target.tags.set(key, value ?? '');
  } else {
    for (const target of targets) {
      // With no tag named, EC2 deletes every tag but its own.
      const doomed = tags.length > 0 ? tags : [...target.tags.keys()].map((key) => ({ key, value: undefined }));
      for (const { key, value } of doomed) {
        if (!key.startsWith('aws:') && (value === undefined || target.tags.get(key) === value)) target.tags.delete(key);
      }
    }
  }
  return succeed(action, '<return>true</return>');
}

function checkIds(ids: string[], instances: Map<string, Instance>): void {
  const malformed = ids.find((id) => !/^i-([0-9a-f]{8}|[0-9a-f]{17})$/.test(id));
  if (malformed !== undefined) throw new Refusal('InvalidInstanceID.Malformed', `Invalid id: "${malformed}"`);
  const unknown = ids.filter((id) => !instances.has(id));
  if (unknown.length === 0) return;
  const these = unknown.length === 1 ? `ID '${unknown[0]}' does` : `IDs '${unknown.join(', ')}' do`;
  throw new Refusal('InvalidInstanceID.NotFound', `The instance ${these} not exist`);
}

function checkTags(tags: { key: string; value: string | undefined }[], targets: Instance[]): void {
  if (tags.length === 0) throw new Refusal('MissingParameter', 'The request must contain the parameter tagSet');
  for (const { key, value = '' } of tags) {
    const rule =
      key === '' || [...key].length > 128
        ? 'its key must have 1 to 128 characters'
        : [...value].length > 256
          ? 'its value must have at most 256 characters'
          : /^aws:/i.test(key) && "keys starting with 'aws:' are reserved";
    if (rule) throw new Refusal('InvalidParameterValue', `Tag '${key}': ${rule}`);
  }
  const full = targets.some(
    (target) => new Set([...target.tags.keys(), ...tags.map(({ key }) => key)]).size > MAX_TAGS,
  );
  if (full) throw new Refusal('TagLimitExceeded', `The maximum number of tags per resource is ${MAX_TAGS}`);
}

function describeTags(parameters: URLSearchParams, instances: Map<string, Instance>): string {
  const items = [...instances]
    .flatMap(([id, { tags }]) => [...tags].map(([key, value]) => ({ id, key, value })))
    .filter(({ id, key, value }) =>
      passes(parameters, { 'resource-id': [id], 'resource-type': ['instance'], key: [key], value: [value] }),
    )
    .map(
      ({ id, key, value }) =>
        `<item><resourceId>${escapeXml(id)}</resourceId><resourceType>instance</resourceType>${tagXml(key, value)}</item>`,
    );
  return succeed('DescribeTags', `<tagSet>${items.join('')}</tagSet>`);
}

const STATE_CODES = { pending: 0, running: 16, 'shutting-down': 32, terminated: 48, stopping: 64, stopped: 80 };

function describeInstances(parameters: URLSearchParams, instances: Map<string, Instance>): string {
  const ids = list(parameters, 'InstanceId');
  checkIds(ids, instances);
  const items = [...instances]
    .filter(([id]) => ids.length === 0 || ids.includes(id))
    .filter(([id, { tags, state = 'running', privateIpAddress }]) =>
      passes(parameters, {
        'instance-id': [id],
        'instance-state-name': [state],
        'private-ip-address': [privateIpAddress ?? ''],
        'tag-key': [...tags.keys()],
        ...Object.fromEntries([...tags].map(([key, value]) => [`tag:${key}`, [value]])),
      }),
    )
    .map(([id, instance]) => {
      // EC2 gives each launch a reservation of its own, and Auto Scaling launches one by one.
      const reservationId = `<reservationId>${escapeXml(id.replace('i-', 'r-'))}</reservationId>`;
      return `<item>${reservationId}<instancesSet><item>${instanceXml(id, instance)}</item></instancesSet></item>`;
    });
  return succeed('DescribeInstances', `<reservationSet>${items.join('')}</reservationSet>`);
}

function instanceXml(id: string, { tags, state = 'running', privateIpAddress }: Instance): string {
  const address = privateIpAddress ? `<privateIpAddress>${escapeXml(privateIpAddress)}</privateIpAddress>` : '';
  const tagSet = [...tags].map(([key, value]) => `<item>${tagXml(key, value)}</item>`).join('');
  const stateXml = `<instanceState><code>${STATE_CODES[state]}</code><name>${state}</name></instanceState>`;
  return `<instanceId>${escapeXml(id)}</instanceId>${stateXml}${address}<tagSet>${tagSet}</tagSet>`;
}

/** Whether something with these attributes passes every `Filter.n`, of whose values one is enough. */
function passes(parameters: URLSearchParams, attributes: Readonly<Record<string, string[]>>): boolean {
  for (let n = 1; ; n += 1) {
    const name = parameters.get(`Filter.${n}.Name`);
    if (name === null) return true;
    const wanted = list(parameters, `Filter.${n}.Value`);
    const held = attributes[name] ?? (name.startsWith('tag:') ? [] : undefined);
    if (held === undefined) throw new Refusal('InvalidParameterValue', `The filter '${name}' is invalid`);
    if (!held.some((value) => wanted.includes(value))) return false;
  }
}

/** The values of `Name.1`, `Name.2`, … */
function list(parameters: URLSearchParams, name: string): string[] {
  const values: string[] = [];
  for (let n = 1; ; n += 1) {
    const value = parameters.get(`${name}.${n}`);
    if (value === null) return values;
    values.push(value);
  }
}

/** The pairs `Tag.1.Key` and `Tag.1.Value`, `Tag.2.Key` … */
function tagList(parameters: URLSearchParams): { key: string; value: string | undefined }[] {
  const tags = [];
  for (let n = 1; ; n += 1) {
    const key = parameters.get(`Tag.${n}.Key`);
    if (key === null) return tags;
    tags.push({ key, value: parameters.get(`Tag.${n}.Value`) ?? undefined });
  }
}

function succeed(action: string, content: string): string {
  const xmlns = 'http://ec2.amazonaws.com/doc/2016-11-15/';
  return `<${action}Response xmlns="${xmlns}"><requestId>${randomUUID()}</requestId>${content}</${action}Response>`;
}

function errorXml(code: string, message: string): string {
  const error = `<Error><Code>${code}</Code><Message>${escapeXml(message)}</Message></Error>`;
  return `<Response><Errors>${error}</Errors><RequestID>${randomUUID()}</RequestID></Response>`;
}

function tagXml(key: string, value: string): string {
  return `<key>${escapeXml(key)}</key><value>${escapeXml(value)}</value>`;
}

function escapeXml(content: string): string {
  return content.replace(/[<>&"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
