// The same call with the SDK's default retry: three attempts.
import { CreateTagsCommand, EC2Client } from '@aws-sdk/client-ec2';
import type { SNSEvent } from 'aws-lambda';

const { AWS_REGION: region = '' } = process.env;
const ec2 = new EC2Client({ region });

export async function handler({ Records: [record] }: SNSEvent): Promise<void> {
  const { EC2InstanceId: id } = JSON.parse(record?.Sns.Message ?? '');
  await ec2.send(new CreateTagsCommand({ Resources: [id], Tags: [{ Key: 'remove_from_lb', Value: 'yes' }] }));
}
