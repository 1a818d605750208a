import { EC2Client, EC2ServiceException } from '@aws-sdk/client-ec2';
import { mockClient } from 'aws-sdk-client-mock';
import { beforeEach } from 'vitest';

/** The SDK's EC2 client, mocked. Every call succeeds, unless a test sets another answer. */
export const ec2 = mockClient(EC2Client);

beforeEach(() => {
  ec2.reset();
  ec2.onAnyCommand().resolves({});
});

/** The calls that reached EC2: the command's name and its input. */
export function calls() {
  return ec2.calls().map(({ args: [command] }) => ({ command: command.constructor.name, input: command.input }));
}

export function ec2Error(name: string, httpStatusCode = 400) {
  return new EC2ServiceException({ name, message: `${name}!`, $fault: 'client', $metadata: { httpStatusCode } });
}
