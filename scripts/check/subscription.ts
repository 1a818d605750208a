import { isDeepStrictEqual } from 'node:util';
import {
  GetSubscriptionAttributesCommand,
  paginateListSubscriptionsByTopic,
  type SNSClient,
} from '@aws-sdk/client-sns';
import { awsCommand } from './aws-command.ts';
import { examine, findings, isNamed, type Link } from './link.ts';
import type { Stack } from './stack.ts';
import { templateFilter } from './template-filter.ts';

/** The function's subscription to the topic: there and confirmed, its filter, its redrive policy. */
export function checkSubscription(sns: SNSClient, stack: Stack): Promise<readonly Link[]> {
  return examine('subscription', null, async (as) => {
    const filter = await templateFilter();
    const arn = await findSubscription(sns, stack);
    if (arn === undefined) {
      const found = `${stack.functionName} is not subscribed to ${stack.topicArn}: the next scale-in sets no tag`;
      return as.broken(found, subscribeCommand(stack, filter));
    }
    // What the list shows in place of an ARN.
    if (arn === 'PendingConfirmation') return unconfirmed();
    const { Attributes: attributes = {} } = await sns.send(
      new GetSubscriptionAttributesCommand({ SubscriptionArn: arn }),
    );
    if (attributes.PendingConfirmation === 'true') return unconfirmed();
    return [as.ok('the function is subscribed, confirmed'), checkFilter(), checkRedrive()];

    function unconfirmed(): Link {
      const found = 'the subscription is not confirmed: the next scale-in sets no tag';
      return as.broken(found, subscribeCommand(stack, filter));
    }

    function checkFilter(): Link {
      const as = findings('subscription filter');
      const { FilterPolicy: policy, FilterPolicyScope: scope = 'MessageAttributes' } = attributes;
      // Set before the policy: a nested one is refused in the other scope.
      const mend = [set('FilterPolicyScope', 'MessageBody'), set('FilterPolicy', JSON.stringify(filter))].join(' && ');
      if (policy === undefined) {
        return as.broken('no filter: every message starts the function, test messages and first launches too', mend);
      }
      if (scope !== 'MessageBody') {
        return as.broken(`it reads ${scope}, which lifecycle messages do not have: none reaches the function`, mend);
      }
      return isDeepStrictEqual(parsed(policy), filter)
        ? as.ok("equal to the template's, on the message body")
        : as.broken(`${policy} is not the template's: messages that ask for the tag may not reach the function`, mend);
    }

    function checkRedrive(): Link {
      const as = findings('subscription redrive');
      const policy: unknown = parsed(attributes.RedrivePolicy ?? 'null');
      const target = Object(policy).deadLetterTargetArn;
      if (target === stack.failureQueueArn) return as.ok('to the failure queue');
      const found = `${target ? `to ${target}, not to the failure queue` : 'none'}: a message that SNS cannot hand to the function is lost unseen`;
      return as.broken(found, set('RedrivePolicy', redrivePolicy(stack)));
    }

    function set(name: string, value: string): string {
      return awsCommand(stack.region, 'sns set-subscription-attributes', {
        'subscription-arn': arn,
        'attribute-name': name,
        'attribute-value': value,
      });
    }
  });
}

async function findSubscription(sns: SNSClient, { topicArn, functionArn }: Stack): Promise<string | undefined> {
  try {
    for await (const { Subscriptions = [] } of paginateListSubscriptionsByTopic(
      { client: sns },
      { TopicArn: topicArn },
    )) {
      const own = Subscriptions.find(({ Protocol, Endpoint }) => Protocol === 'lambda' && Endpoint === functionArn);
      if (own) return own.SubscriptionArn;
    }
  } catch (error) {
    // Without its topic there is no subscription either.
    if (!isNamed(error, 'NotFound', 'NotFoundException')) throw error;
  }
  return undefined;
}

function subscribeCommand(stack: Stack, filter: unknown): string {
  return awsCommand(stack.region, 'sns subscribe', {
    'topic-arn': stack.topicArn,
    protocol: 'lambda',
    'notification-endpoint': stack.functionArn,
    attributes: {
      FilterPolicyScope: 'MessageBody',
      FilterPolicy: JSON.stringify(filter),
      RedrivePolicy: redrivePolicy(stack),
    },
  });
}

function redrivePolicy({ failureQueueArn }: Stack): string {
  return JSON.stringify({ deadLetterTargetArn: failureQueueArn });
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    // Not what the template made, whatever it is.
    return json;
  }
}
