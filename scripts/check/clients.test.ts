import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import { expect, onTestFinished, test, vi } from 'vitest';
import { makeClients } from './clients.ts';

/** Has the SDK call a server of the test's own. */
async function givenEndpoint(answer: RequestListener) {
  const server = createServer(answer);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  vi.stubEnv('AWS_ENDPOINT_URL', `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  for (const name of ['AWS_REGION', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) vi.stubEnv(name, 'local');
}

test("with AWS_ENDPOINT_URL the queue is asked about there, although its URL names AWS's host", async () => {
  await givenEndpoint((_, response) => response.end('{"Attributes":{"ApproximateNumberOfMessages":"7"}}'));
  const { sqs } = await makeClients(process.env, new AbortController().signal);
  const QueueUrl = 'https://sqs.us-west-2.amazonaws.com/123456789012/failures';
  const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }));
  expect(Attributes).toEqual({ ApproximateNumberOfMessages: '7' });
});

test('an interruption ends a call that gets no answer', async () => {
  const interruption = new AbortController();
  await givenEndpoint(() => interruption.abort());
  const { cloudFormation } = await makeClients(process.env, interruption.signal);
  await expect(cloudFormation.send(new DescribeStacksCommand())).rejects.toThrow('aborted');
});
