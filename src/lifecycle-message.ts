import { InvalidFieldError } from './invalid-field-error.ts';

/** The fields of a message, not yet checked. */
export type MessageFields = Readonly<Record<string, unknown>>;

/** Fields that identify a message in the log. Invalid fields are left out. Never includes the lifecycle action token. */
export interface MessageIds {
  readonly instanceId?: string;
  readonly autoScalingGroupName?: string;
  readonly lifecycleHookName?: string;
  readonly requestId?: string;
}

export type MessageRequest = TagChange | { readonly action: 'none'; readonly reason: string };

export interface TagChange {
  readonly action: 'set-tag' | 'clear-tag';
  readonly instanceId: string;
  /** The account that the message names, not yet checked. */
  readonly accountId: unknown;
  /** The message's own time, in milliseconds since 1970. `NaN` without a valid time. */
  readonly sentAt: number;
}

/**
 * Parses the text of `Sns.Message`.
 * @throws InvalidFieldError named InvalidMessageError when the text is not a JSON object.
 */
export function parseMessage(text: unknown): MessageFields {
  const value = typeof text === 'string' ? parseJson(text) : undefined;
  if (value === undefined) throw invalid('Sns.Message', text, 'a JSON text');
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as MessageFields;
  throw invalid('Sns.Message', value, 'a JSON object');
}

export function idsOf(fields: MessageFields): MessageIds {
  return {
    ...(isInstanceId(fields.EC2InstanceId) && { instanceId: fields.EC2InstanceId }),
    ...(isName(fields.AutoScalingGroupName) && { autoScalingGroupName: fields.AutoScalingGroupName }),
    ...(isName(fields.LifecycleHookName) && { lifecycleHookName: fields.LifecycleHookName }),
    ...(isName(fields.RequestId) && { requestId: fields.RequestId }),
  };
}

/**
 * Decides the request of a message. A hook's message has a `LifecycleTransition`, but a notification has an `Event`.
 * Shapes: https://docs.aws.amazon.com/autoscaling/ec2/userguide/prepare-for-lifecycle-notifications.html
 * @throws InvalidFieldError named InvalidMessageError when a field that decides is missing or unknown.
 */
export function requestOf(fields: MessageFields): MessageRequest {
  const { LifecycleTransition: transition, Event: event, 'detail-type': detailType } = fields;
  if (transition === 'autoscaling:EC2_INSTANCE_TERMINATING') return tagChange('set-tag', fields);
  if (transition === 'autoscaling:EC2_INSTANCE_LAUNCHING') return launchRequest(transition, fields);
  if (transition !== undefined) {
    const expected = 'autoscaling:EC2_INSTANCE_TERMINATING or autoscaling:EC2_INSTANCE_LAUNCHING';
    throw invalid('LifecycleTransition', transition, expected);
  }
  if (detailType !== undefined) {
    throw invalid('detail-type', detailType, "a lifecycle hook's own message instead of an EventBridge event");
  }
  if (event === undefined) {
    throw invalid('LifecycleTransition', transition, 'a lifecycle transition, or the field Event');
  }
  if (event === 'autoscaling:EC2_INSTANCE_LAUNCH') return launchRequest(event, fields);
  if (event === 'autoscaling:TEST_NOTIFICATION') return nothing('test notification: a lifecycle hook was put');
  if (typeof event === 'string' && /^autoscaling:\w+$/.test(event)) {
    return nothing(`${event} is a notification sent after the fact, not a lifecycle hook`);
  }
  throw invalid('Event', event, 'a name that begins with autoscaling:');
}

/**
 * Clears the tag when an instance returns to service. AWS documents no `Origin` for notifications, so a notification
 * counts as a return unless the notification says otherwise.
 */
function launchRequest(name: string, fields: MessageFields): MessageRequest {
  const { Origin: origin, Destination: destination } = fields;
  if (destination === 'WarmPool') return nothing(`${name}: into the warm pool, not yet into service`);
  if (origin === 'EC2') return nothing(`${name}: a new instance, which carries no tag`);
  const returns = destination === 'AutoScalingGroup' && (origin === 'WarmPool' || origin === 'AutoScalingGroup');
  if (returns || name === 'autoscaling:EC2_INSTANCE_LAUNCH') return tagChange('clear-tag', fields);
  return nothing(`${name}: Origin and Destination do not say that the instance returns to service`);
}

function tagChange(action: TagChange['action'], fields: MessageFields): TagChange {
  const { EC2InstanceId: instanceId, AccountId: accountId, Time: time } = fields;
  // CreateTags accepts the id of any resource, so only the id of an instance may reach EC2.
  if (!isInstanceId(instanceId)) {
    throw invalid('EC2InstanceId', instanceId, 'i- and 8 or 17 hexadecimal digits in lower case');
  }
  return { action, instanceId, accountId, sentAt: Date.parse(String(time)) };
}

function nothing(reason: string): MessageRequest {
  return { action: 'none', reason };
}

function invalid(field: string, actual: unknown, expected: string): InvalidFieldError {
  return new InvalidFieldError('InvalidMessageError', field, actual, expected);
}

function isInstanceId(value: unknown): value is string {
  return typeof value === 'string' && /^i-(?:[0-9a-f]{8}|[0-9a-f]{17})$/.test(value);
}

/**
 * Whether a value may stand in the log as a name. AWS limits names to 255 characters. A value with a quotation mark may
 * be a whole message, with its token. Control characters would reach the terminal of the person who reads the log.
 */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && /^[^"\p{Cc}]{1,255}$/u.test(value);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's error is dropped: it quotes the text around the fault, which may be the token.
    return undefined;
  }
}
