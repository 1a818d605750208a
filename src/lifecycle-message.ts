import { InvalidFieldError } from './invalid-field-error.ts';

/** By which a message is found again in the log. What it does not name is absent; its action token never is here. */
export interface MessageNames {
  readonly instanceId?: string;
  readonly autoScalingGroupName?: string;
  readonly lifecycleHookName?: string;
  readonly requestId?: string;
}

/** A message that asks for a change of an instance's tag. */
export interface TagChange {
  readonly asks: 'set-tag' | 'clear-tag';
  readonly instanceId: string;
  /** Unchecked: the text of an AWS account id, if the message is what it should be. */
  readonly accountId: unknown;
  /** When the message was made, in milliseconds since 1970; `NaN` if it does not say. */
  readonly sentAt: number;
  readonly names: MessageNames;
}

/** Every message that can come, by what it asks for. */
export type LifecycleMessage =
  | TagChange
  | { readonly asks: 'nothing'; readonly reason: string; readonly names: MessageNames }
  | { readonly asks: 'what cannot be read'; readonly error: InvalidFieldError; readonly names: MessageNames };

type Fields = Readonly<Record<string, unknown>>;

/**
 * Reads the text of `Sns.Message`: what it asks for follows from its `LifecycleTransition` or else, for a notification,
 * from its `Event`.
 * Shapes: https://docs.aws.amazon.com/autoscaling/ec2/userguide/prepare-for-lifecycle-notifications.html
 */
export function readMessage(text: unknown): LifecycleMessage {
  const fields = typeof text === 'string' ? fromJson(text) : undefined;
  if (fields === undefined) return unreadable({}, 'Sns.Message', text, 'a JSON text');
  return isObject(fields) ? classify(fields) : unreadable({}, 'Sns.Message', fields, 'a JSON object');
}

function classify(fields: Fields): LifecycleMessage {
  const { LifecycleTransition: transition, Event: event } = fields;
  if (transition === 'autoscaling:EC2_INSTANCE_TERMINATING') return changeOf(fields, 'set-tag');
  if (transition === 'autoscaling:EC2_INSTANCE_LAUNCHING') return classifyLaunch(fields, transition);
  if (transition !== undefined) {
    const expected = 'autoscaling:EC2_INSTANCE_TERMINATING or autoscaling:EC2_INSTANCE_LAUNCHING';
    return unreadable(fields, 'LifecycleTransition', transition, expected);
  }
  if (event === 'autoscaling:EC2_INSTANCE_LAUNCH') return classifyLaunch(fields, event);
  if (event === 'autoscaling:TEST_NOTIFICATION') return nothing(fields, 'test notification: a lifecycle hook was put');
  if (typeof event === 'string' && /^autoscaling:\w+$/.test(event)) {
    return nothing(fields, `${event} is a notification sent after the fact, not a lifecycle hook`);
  }
  return event === undefined
    ? unreadable(fields, 'LifecycleTransition', transition, 'a lifecycle transition, or an Event beside it')
    : unreadable(fields, 'Event', event, "autoscaling: and an event's name");
}

function classifyLaunch(fields: Fields, what: string): LifecycleMessage {
  const { Origin: origin, Destination: destination } = fields;
  if (destination === 'AutoScalingGroup' && (origin === 'WarmPool' || origin === 'AutoScalingGroup')) {
    return changeOf(fields, 'clear-tag');
  }
  return nothing(fields, `${what}: ${whyNotReturning(origin, destination)}`);
}

function whyNotReturning(origin: unknown, destination: unknown): string {
  if (destination === 'WarmPool') return 'into the warm pool, not yet into service';
  if (origin === 'EC2') return 'a new instance, which carries no tag';
  return 'not said to come back from a warm pool or a root volume replacement';
}

function changeOf(fields: Fields, asks: TagChange['asks']): LifecycleMessage {
  const { EC2InstanceId: instanceId, AccountId: accountId, Time: time } = fields;
  // CreateTags takes any resource id, so nothing but an instance's may pass.
  if (typeof instanceId !== 'string' || !/^i-(?:[0-9a-f]{8}|[0-9a-f]{17})$/.test(instanceId)) {
    return unreadable(fields, 'EC2InstanceId', instanceId, 'i- and 8 or 17 hexadecimal digits in lower case');
  }
  return { asks, instanceId, accountId, sentAt: Date.parse(String(time)), names: namesIn(fields) };
}

function nothing(fields: Fields, reason: string): LifecycleMessage {
  return { asks: 'nothing', reason, names: namesIn(fields) };
}

function unreadable(fields: Fields, field: string, held: unknown, expected: string): LifecycleMessage {
  const error = new InvalidFieldError('InvalidMessageError', field, held, expected);
  return { asks: 'what cannot be read', error, names: namesIn(fields) };
}

function namesIn(fields: Fields): MessageNames {
  return {
    ...(isName(fields.EC2InstanceId) && { instanceId: fields.EC2InstanceId }),
    ...(isName(fields.AutoScalingGroupName) && { autoScalingGroupName: fields.AutoScalingGroupName }),
    ...(isName(fields.LifecycleHookName) && { lifecycleHookName: fields.LifecycleHookName }),
    ...(isName(fields.RequestId) && { requestId: fields.RequestId }),
  };
}

/** A name, which AWS limits to 255 characters, and no message that somebody put in its place. */
function isName(value: unknown): value is string {
  return typeof value === 'string' && /^[^"]{1,255}$/.test(value);
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own error is left out: it quotes the text around the fault, and a token could stand there.
    return undefined;
  }
}
