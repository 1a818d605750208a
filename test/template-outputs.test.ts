import { expect, it } from 'vitest';
import { deploy } from './helpers/stack.ts';

it('the outputs are the values that the commands of the pages need, and no commands', () => {
  expect(deploy({ TagKey: 'lb/drain=1', TagValue: 'now', HeartbeatTimeout: 600 }).outputs).toEqual({
    TopicArn: 'Topic',
    HookRoleArn: 'HookRole.Arn',
    FunctionName: 'Function',
    LogGroupName: 'LogGroup',
    FailureQueueUrl: 'FailureQueue',
    TagKey: 'lb/drain=1',
    TagValue: 'now',
    HeartbeatTimeout: 600,
  });
});
