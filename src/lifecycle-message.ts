import { InvalidFieldError } from './invalid-field-error.ts';

/** A message as parsed, its fields unchecked. */
export type MessageFields = Readonly<Record<string, unknown>>;

/** What a message means for the instance that it names. */
export type LifecycleMessage =
  | { readonly meaning: 'leaves-service'; readonly instanceId: string; readonly accountId: unknown }
  | { readonly meaning: 'returns-to-service'; readonly instanceId: string; readonly accountId: unknown }
  | { readonly meaning: 'nothing-to-do'; readonly reason: string };

/** A text that is no Auto Scaling message, or one whose instance cannot be told. */
export class InvalidMessageError extends InvalidFieldError {
  override readonly name = 'InvalidMessageError';
}

/**
 * Parses the text of `Sns.Message`.
 * @throws InvalidMessageError when it is not a JSON object.
 */
export function parseMessage(text: unknown): MessageFields {
  const fields = fromJson(text);
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) {
    throw new InvalidMessageError('Sns.Message', fields, 'a JSON object');
  }
  return fields as MessageFields;
}

/**
 * Tells what a message asks for, by its `LifecycleTransition` or else, for a notification, its `Event`.
 * Shapes: https://docs.aws.amazon.com/autoscaling/ec2/userguide/prepare-for-lifecycle-notifications.html
 * @throws InvalidMessageError when transition and event are unknown, or an instance that matters is not named.
 */
export function classify(fields: MessageFields): LifecycleMessage {
  const { LifecycleTransition: transition, Event: event } = fields;
  if (transition === 'autoscaling:EC2_INSTANCE_TERMINATING') {
    return { meaning: 'leaves-service', ...instanceOf(fields) };
  }
  if (transition === 'autoscaling:EC2_INSTANCE_LAUNCHING') return launch(fields, transition);
  if (transition !== undefined) {
    throw new InvalidMessageError(
      'LifecycleTransition',
      transition,
      'autoscaling:EC2_INSTANCE_TERMINATING or autoscaling:EC2_INSTANCE_LAUNCHING',
    );
  }
  if (event === 'autoscaling:EC2_INSTANCE_LAUNCH') return launch(fields, event);
  if (event === 'autoscaling:TEST_NOTIFICATION') {
    return { meaning: 'nothing-to-do', reason: 'test notification: a lifecycle hook was put' };
  }
  if (typeof event === 'string' && /^autoscaling:\w+$/.test(event)) {
    return { meaning: 'nothing-to-do', reason: `${event} is a notification sent after the fact, not a lifecycle hook` };
  }
  throw event === undefined
    ? new InvalidMessageError('LifecycleTransition', transition, 'a lifecycle transition, or an Event beside it')
    : new InvalidMessageError('Event', event, "autoscaling: and an event's name");
}

function launch(fields: MessageFields, what: string): LifecycleMessage {
  const { Origin: origin, Destination: destination } = fields;
  if (destination === 'AutoScalingGroup' && (origin === 'WarmPool' || origin === 'AutoScalingGroup')) {
    return { meaning: 'returns-to-service', ...instanceOf(fields) };
  }
  return { meaning: 'nothing-to-do', reason: `${what}: ${whyNotReturning(origin, destination)}` };
}

function whyNotReturning(origin: unknown, destination: unknown): string {
  if (destination === 'WarmPool') return 'into the warm pool, not yet into service';
  if (origin === 'EC2') return 'a new instance, which carries no tag';
  return 'not said to come back from a warm pool or a root volume replacement';
}

function instanceOf({ EC2InstanceId: instanceId, AccountId: accountId }: MessageFields) {
  // CreateTags takes any resource id, so nothing but an instance's may pass.
  if (typeof instanceId !== 'string' || !/^i-(?:[0-9a-f]{8}|[0-9a-f]{17})$/.test(instanceId)) {
    throw new InvalidMessageError('EC2InstanceId', instanceId, 'i- and 8 or 17 hexadecimal digits in lower case');
  }
  return { instanceId, accountId };
}

function fromJson(text: unknown): unknown {
  if (typeof text !== 'string') throw new InvalidMessageError('Sns.Message', text, 'a JSON text');
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own error is left out: it quotes the text around the fault, and a token could stand there.
    throw new InvalidMessageError('Sns.Message', text, 'a JSON text');
  }
}
