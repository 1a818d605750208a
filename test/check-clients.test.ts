import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import { expect, test, vi } from 'vitest';
import { makeClients } from '../scripts/check/clients.ts';

test("with AWS_ENDPOINT_URL the queue is asked about there, although its URL names AWS's host", async () => {
  const server = createServer((_, response) => response.end('{"Attributes":{"ApproximateNumberOfMessages":"7"}}'));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  vi.stubEnv('AWS_ENDPOINT_URL', `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  for (const name of ['AWS_REGION', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) vi.stubEnv(name, 'local');
  try {
    const { sqs } = await makeClients();
    const QueueUrl = 'https://sqs.us-west-2.amazonaws.com/123456789012/failures';
    const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }));
    expect(Attributes).toEqual({ ApproximateNumberOfMessages: '7' });
  } finally {
    server.close();
  }
});
