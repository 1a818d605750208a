import { isDeepStrictEqual } from 'node:util';
import { isKnown, type Unreadable } from '../facts/fact.ts';
import type { Facts } from '../facts/facts.ts';
import { broken, type Finding, ok, unknown } from '../link.ts';
import { CHANGED, DELETED } from './stack.ts';

export function judgeTopic({ topic, stack: { topicArn } }: Facts): Finding {
  if (topic === 'absent') return broken(`${topicArn} does not exist: the next scale-in sets no tag`, DELETED);
  return isKnown(topic) ? ok(topicArn.split(':').at(-1) ?? '') : unknown(topic);
}

/** The key that encrypts the topic. */
export function judgeTopicKey({ topic, key }: Facts): Finding | [] {
  if (!isKnown(topic) || !topic.KmsMasterKeyId) return [];
  const effect = 'nobody can publish to the topic, and the next scale-in sets no tag';
  if (key === 'absent') return broken(`${topic.KmsMasterKeyId} does not exist: ${effect}`, 'set a key that exists');
  if (!isKnown(key)) return unknown(key);
  const { KeyId: id, KeyState: state, KeyManager: manager } = key.KeyMetadata ?? {};
  if (state !== 'Enabled') return broken(`${id} is ${state}: ${effect}`, 'ask the owner of the key to enable it');
  // The documentation covers service principals. A hook publishes with a role.
  if (manager === 'AWS') return unknown(`${id}, managed by AWS: no documentation says whether a hook may use it`);
  return ok(`${id}, enabled, customer-managed`);
}

/** The function's subscription to the topic. */
export function judgeSubscription({ subscription }: Facts): Finding {
  if (subscription === 'absent') {
    return broken('the function is not subscribed to the topic: the next scale-in sets no tag', DELETED);
  }
  if (!isKnown(subscription)) return unknown(subscription);
  if (!isConfirmed(subscription)) return broken('not confirmed: the next scale-in sets no tag', DELETED);
  return ok('confirmed');
}

export function judgeSubscriptionFilter({ subscription, templateFilter }: Facts): Finding | [] {
  if (!isConfirmed(subscription)) return [];
  const { FilterPolicy: filter, FilterPolicyScope: scope = 'MessageAttributes' } = subscription;
  const fix =
    'deploy this checkout; if that changes nothing, delete the stack first. A new filter takes up to 15 minutes';
  if (filter === undefined) return broken('no filter: messages that ask for nothing call the function too', fix);
  if (scope !== 'MessageBody') {
    return broken(`on ${scope}, which lifecycle messages do not have: the next scale-in sets no tag`, fix);
  }
  if (isDeepStrictEqual(JSON.parse(filter), templateFilter)) return ok("template.yaml's filter, on the message body");
  return broken(`${filter} is not template.yaml's filter: the next scale-in may set no tag`, fix);
}

/** The queue for messages that SNS cannot deliver to the function. */
export function judgeSubscriptionRedrive({ subscription, stack }: Facts): Finding | [] {
  if (!isConfirmed(subscription)) return [];
  const target = JSON.parse(subscription.RedrivePolicy ?? '{}').deadLetterTargetArn;
  if (target === stack.failureQueueArn) return ok('to the failure queue');
  const where = target === undefined ? 'none' : `to ${target}, not to the failure queue`;
  return broken(`${where}: nobody sees a message that SNS cannot deliver`, CHANGED);
}

function isConfirmed(
  subscription: Facts['subscription'],
): subscription is Exclude<typeof subscription, string | Unreadable> {
  return isKnown(subscription) && subscription.PendingConfirmation !== 'true';
}
