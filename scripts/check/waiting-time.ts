import { awsCommand } from './aws-command.ts';
import type { DeployedFunction } from './function.ts';
import { type Group, ownHooks, TERMINATING } from './groups.ts';
import { timeoutOf } from './hooks.ts';
import { findings, type Link } from './link.ts';
import type { Stack } from './stack.ts';

/**
 * The hook's heartbeat timeout against the age from which the function, and Lambda before it, take a message for too old.
 */
export function checkWaitingTime(
  stack: Stack,
  { settings, maxEventAge }: DeployedFunction,
  group: Group,
): readonly Link[] {
  const as = findings('waiting time', group.name);
  return ownHooks(group, stack, TERMINATING).map((hook) => {
    const timeout = timeoutOf(hook);
    const limit = settings && settings.maxAgeMs / 1000;
    if (limit === undefined || maxEventAge === undefined) return as.unknown("the function's limits could not be read");
    if (timeout > limit || timeout > maxEventAge) {
      const tooShort = [
        ...(timeout > limit ? [`HEARTBEAT_TIMEOUT is ${limit} s`] : []),
        ...(timeout > maxEventAge ? [`Lambda drops events after ${maxEventAge} s`] : []),
      ].join(' and ');
      const found = `the hook waits ${timeout} s, but ${tooShort}: messages that come later are lost while their instances wait`;
      return as.broken(found, raise(timeout, timeout > limit));
    }
    const early = Math.min(limit, maxEventAge);
    return as.ok(
      timeout === early
        ? `${timeout} s, which the function knows`
        : `${timeout} s; the function acts on messages of up to ${early} s, so that one after the wait could tag an instance that is back`,
    );
  });

  function raise(timeout: number, inFunction: boolean): string {
    if (!inFunction || stack.parameters.HeartbeatTimeout === String(timeout)) {
      const age = { 'function-name': stack.functionName, 'maximum-event-age-in-seconds': timeout };
      const ageCommand = awsCommand(stack.region, 'lambda update-function-event-invoke-config', age);
      if (!inFunction) return ageCommand;
      const { key = '', value = '' } = settings?.tag ?? {};
      const environment = { Variables: { TAG_KEY: key, TAG_VALUE: value, HEARTBEAT_TIMEOUT: String(timeout) } };
      const settingsCommand = { 'function-name': stack.functionName, environment };
      return `${awsCommand(stack.region, 'lambda update-function-configuration', settingsCommand)} && ${ageCommand}`;
    }
    // The stack's own parameter, so that its next update does not take the change back.
    return awsCommand(stack.region, 'cloudformation update-stack', {
      'stack-name': stack.name,
      'use-previous-template': [],
      capabilities: ['CAPABILITY_IAM', 'CAPABILITY_AUTO_EXPAND'],
      parameters: Object.keys(stack.parameters).map((name) =>
        name === 'HeartbeatTimeout'
          ? { ParameterKey: name, ParameterValue: String(timeout) }
          : { ParameterKey: name, UsePreviousValue: true },
      ),
    });
  }
}
