import { DescribeKeyCommand, type KeyMetadata, type KMSClient } from '@aws-sdk/client-kms';
import { GetTopicAttributesCommand, type SNSClient } from '@aws-sdk/client-sns';
import { awsCommand } from './aws-command.ts';
import { examine, findings, isNamed, type Link } from './link.ts';
import type { Stack } from './stack.ts';

/** The topic, as far as it could be looked at. */
export interface Topic {
  readonly links: readonly Link[];
  /** Its own policy, a JSON text. */
  readonly policy?: string;
  /** The customer-managed key that it is encrypted with. */
  readonly keyArn?: string;
}

/** The topic and, if it is encrypted, its key. */
export async function checkTopic(sns: SNSClient, kms: KMSClient, stack: Stack): Promise<Topic> {
  const { topicArn, region } = stack;
  let attributes: Record<string, string> = {};
  const links = await examine('topic', null, async (as) => {
    try {
      ({ Attributes: attributes = {} } = await sns.send(new GetTopicAttributesCommand({ TopicArn: topicArn })));
    } catch (error) {
      if (!isNamed(error, 'NotFound', 'NotFoundException')) throw error;
      // Topics have no random part in their ARN, so a new one of that name is the one that hooks name.
      const mend = awsCommand(region, 'sns create-topic', { name: topicArn.split(':').at(-1) });
      return as.broken(`${topicArn} is not there: the next scale-in sets no tag`, mend);
    }
    return as.ok(topicArn);
  });
  const { Policy: policy, KmsMasterKeyId: keyId } = attributes;
  const own = policy === undefined ? {} : { policy };
  if (!keyId) return { links, ...own };
  const withoutKey = awsCommand(region, 'sns set-topic-attributes', {
    'topic-arn': topicArn,
    'attribute-name': 'KmsMasterKeyId',
    'attribute-value': '',
  });
  let key: KeyMetadata | undefined;
  const keyLinks = await examine('topic key', null, async (as) => {
    try {
      ({ KeyMetadata: key } = await kms.send(new DescribeKeyCommand({ KeyId: keyId })));
    } catch (error) {
      if (!isNamed(error, 'NotFoundException')) throw error;
      const found = `key ${keyId} is not there: nothing can be published to the topic, and the next scale-in sets no tag`;
      return as.broken(found, withoutKey);
    }
    return stateOf(key);
  });
  return {
    links: [...links, ...keyLinks],
    ...own,
    ...(key?.KeyManager === 'CUSTOMER' && key.Arn && { keyArn: key.Arn }),
  };

  function stateOf(found: KeyMetadata | undefined): Link {
    const as = findings('topic key');
    const { KeyState: state, KeyId: id = keyId ?? '', KeyManager: manager } = found ?? {};
    if (state === 'Enabled') {
      return as.ok(`${id}, enabled, ${manager === 'AWS' ? 'managed by AWS' : 'customer-managed'}`);
    }
    const broken = `${id} is ${state}: nothing can be published to the topic, and the next scale-in sets no tag`;
    if (state === 'PendingDeletion') {
      const cancel = awsCommand(region, 'kms cancel-key-deletion', { 'key-id': id });
      return as.broken(broken, `${cancel} && ${awsCommand(region, 'kms enable-key', { 'key-id': id })}`);
    }
    return as.broken(
      broken,
      state === 'Disabled' ? awsCommand(region, 'kms enable-key', { 'key-id': id }) : withoutKey,
    );
  }
}
