// The same call with the SDK's default retry: three attempts.
import { CreateTagsCommand, EC2Client } from '@aws-sdk/client-ec2';
import type { SNSEvent } from 'aws-lambda';
import { DEFAULT_TAG } from '../../src/settings.ts';

const { AWS_REGION: region = '' } = process.env;
const ec2 = new EC2Client({ region });

export async function handler({ Records: [record] }: SNSEvent): Promise<void> {
  const { EC2InstanceId: id } = JSON.parse(record?.Sns.Message ?? '');
  const { key, value } = DEFAULT_TAG;
  await ec2.send(new CreateTagsCommand({ Resources: [id], Tags: [{ Key: key, Value: value }] }));
}
