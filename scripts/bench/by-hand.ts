// The smallest program that sets the tag: one CreateTags call, signed by hand.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
import { type BinaryLike, createHash, createHmac } from 'node:crypto';
import { request } from 'node:http';
import type { SNSEvent } from 'aws-lambda';
import { DEFAULT_TAG } from '../../src/settings.ts';

const { AWS_ENDPOINT_URL = '', AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN } = process.env;
const url = new URL(AWS_ENDPOINT_URL);

export async function handler({ Records: [record] }: SNSEvent): Promise<void> {
  const { EC2InstanceId: id } = JSON.parse(record?.Sns.Message ?? '');
  const { key, value } = DEFAULT_TAG;
  const body = `Action=CreateTags&Version=2016-11-15&ResourceId.1=${id}&Tag.1.Key=${key}&Tag.1.Value=${value}`;
  await new Promise<void>((resolve, reject) => {
    request(url, { method: 'POST', headers: sign(body) }, (response) => {
      response.resume();
      response.on('end', () => (response.statusCode === 200 ? resolve() : reject(new Error(response.statusMessage))));
    })
      .on('error', reject)
      .end(body);
  });
}

function sign(body: string): Record<string, string | undefined> {
  const time = new Date().toISOString().replace(/[:-]|\.\d{3}/g, '');
  const scope = `${time.slice(0, 8)}/${AWS_REGION}/ec2/aws4_request`;
  const headers = {
    'content-type': 'application/x-www-form-urlencoded',
    host: url.host,
    'x-amz-date': time,
    'x-amz-security-token': AWS_SESSION_TOKEN,
  };
  const names = Object.keys(headers).join(';');
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}`);
  const canonical = ['POST', '/', '', ...lines, '', names, sha256(body)].join('\n');
  const key = scope.split('/').reduce<BinaryLike>(hmac, `AWS4${AWS_SECRET_ACCESS_KEY}`);
  const signature = hmac(key, ['AWS4-HMAC-SHA256', time, scope, sha256(canonical)].join('\n')).toString('hex');
  const credential = `Credential=${AWS_ACCESS_KEY_ID}/${scope}`;
  const authorization = `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=${names}, Signature=${signature}`;
  return { ...headers, authorization };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function hmac(key: BinaryLike, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
