import type { LifecycleHook } from '@aws-sdk/client-auto-scaling';
import { isKnown } from '../facts/fact.ts';
import type { Facts } from '../facts/facts.ts';
import { type Group, LAUNCHING, TERMINATING } from '../facts/groups.ts';
import { broken, type Finding, ok, unknown } from '../link.ts';
import { awsCommand, putHookCommand } from './commands.ts';
import { maxEventAgeOf } from './function.ts';
import { CHANGED } from './stack.ts';

/** The group's hooks to the topic for one transition; none when the hooks could not be read. */
export function ownHooks({ stack }: Facts, { hooks }: Group, transition: string): readonly LifecycleHook[] {
  if (!isKnown(hooks)) return [];
  return hooks.filter(
    (hook) => hook.NotificationTargetARN === stack.topicArn && hook.LifecycleTransition === transition,
  );
}

/** Seconds; Auto Scaling's default when the answer leaves it out. */
export function timeoutOf({ HeartbeatTimeout = 3600 }: LifecycleHook): number {
  return HeartbeatTimeout;
}

function describe(hook: LifecycleHook): string {
  return `${hook.LifecycleHookName}, timeout ${timeoutOf(hook)} s, default result ${hook.DefaultResult ?? 'ABANDON'}`;
}

/** Whether this stack made the hook, or its command for further groups. Another tool's hook may use the same topic. */
function isOfStack({ stack }: Facts, { LifecycleHookName: name, RoleARN: role }: LifecycleHook): boolean {
  return role === stack.hookRoleArn || name === stack.name || name === `${stack.name}-launch`;
}

/** @returns a command for a hook of this stack; a sentence for another tool's hook and for a hook with metadata. */
export function fixOfHook(facts: Facts, group: Group, hook: LifecycleHook): string {
  if (!isOfStack(facts, hook)) {
    return "ask the hook's owner for a role that may publish to the topic, and for the default result CONTINUE";
  }
  // Anybody who may put a hook writes this text, so that no command may repeat the text.
  if (hook.NotificationMetadata) {
    return "give the hook the stack's hook role and the default result CONTINUE by hand, and keep its NotificationMetadata";
  }
  return putHookCommand(facts.stack, group.name, hook);
}

/** The terminating hooks to the topic. */
export function judgeTerminatingHooks(facts: Facts, group: Group): Finding | readonly Finding[] {
  if (!isKnown(group.hooks)) return unknown(group.hooks);
  const own = ownHooks(facts, group, TERMINATING);
  if (own.length === 0) {
    const finding = 'none to the topic: the next scale-in sets no tag, and requests are lost';
    return broken(finding, putHookCommand(facts.stack, group.name));
  }
  return own.map((hook) => {
    const fix = fixOfHook(facts, group, hook);
    if (hook.RoleARN === undefined) return broken(`${describe(hook)}, no role: the next scale-in sets no tag`, fix);
    if (hook.DefaultResult === 'CONTINUE') return ok(describe(hook));
    const effect = "a timeout ends the group's other hooks too, and a lifecycle policy may keep the instance";
    return broken(`${describe(hook)}: ${effect}`, fix);
  });
}

/** Other tools' terminating hooks. The default result ABANDON ends the wait of every hook; CONTINUE does not. */
export function judgeOtherTerminatingHooks(facts: Facts, group: Group): readonly Finding[] {
  const own = ownHooks(facts, group, TERMINATING);
  if (own.length === 0 || !isKnown(group.hooks)) return [];
  const longest = Math.max(...own.map(timeoutOf));
  const { RetentionTriggers: triggers } = group.description.InstanceLifecyclePolicy ?? {};
  return group.hooks
    .filter((hook) => hook.LifecycleTransition === TERMINATING && !own.includes(hook))
    .map((hook) => {
      const timeout = timeoutOf(hook);
      if (hook.DefaultResult === 'CONTINUE') return ok(describe(hook));
      if (triggers?.TerminateHookAbandon === 'retain') {
        const conflict = 'conflicts with the hook to the topic: its timeout ends both waits';
        return ok(`${describe(hook)}: ${conflict}, and the lifecycle policy keeps the instance running`);
      }
      if (timeout > longest) return ok(describe(hook));
      const effect = `its timeout ends every hook's wait after ${timeout} s instead of ${longest} s, and requests are lost`;
      const fix = `ask the hook's owner for the default result CONTINUE, or for a timeout above ${longest} s`;
      return broken(`${describe(hook)}: ${effect}`, fix);
    });
}

/** The launching hooks to the topic. Nobody completes them. */
export function judgeLaunchingHooks(facts: Facts, group: Group): readonly Finding[] {
  return ownHooks(facts, group, LAUNCHING).map((hook) => {
    if (hook.DefaultResult === 'CONTINUE') return ok(describe(hook));
    const finding = `${describe(hook)}: Auto Scaling terminates every new instance at the end of its launch`;
    return broken(finding, fixOfHook(facts, group, hook));
  });
}

/** The hook's heartbeat timeout against the ages at which the function refuses a message and Lambda drops an event. */
export function judgeWaitingTime(facts: Facts, group: Group): readonly Finding[] {
  const { settings, functionEvents, stack } = facts;
  return ownHooks(facts, group, TERMINATING).map((hook) => {
    if (!isKnown(settings) || 'invalid' in settings) return unknown("the function's settings cannot be read");
    if (functionEvents !== 'absent' && !isKnown(functionEvents)) return unknown(functionEvents);
    const timeout = timeoutOf(hook);
    const limit = settings.maxAgeMs / 1000;
    const maxEventAge = maxEventAgeOf(functionEvents);
    const accepted = Math.min(limit, maxEventAge);
    if (timeout === accepted) return ok(`${timeout} s, as long as the function accepts a message`);
    if (timeout < accepted) {
      return ok(
        `${timeout} s; the function accepts messages for ${accepted} s, so a late one may tag a returned instance`,
      );
    }
    const tooShort = timeout > limit ? `HEARTBEAT_TIMEOUT is ${limit} s` : `Lambda drops events after ${maxEventAge} s`;
    const finding = `the hook waits ${timeout} s, but ${tooShort}: a message after that sets no tag`;
    if (timeout > limit) return broken(finding, raiseParameter(timeout));
    const fix = awsCommand(stack.region, 'lambda update-function-event-invoke-config', {
      'function-name': stack.functionName,
      'maximum-event-age-in-seconds': timeout,
    });
    return broken(finding, fix);
  });

  function raiseParameter(timeout: number): string {
    const { name, region, parameters } = stack;
    if (parameters.HeartbeatTimeout === String(timeout)) return CHANGED;
    return awsCommand(region, 'cloudformation update-stack', {
      'stack-name': name,
      'use-previous-template': [],
      capabilities: 'CAPABILITY_IAM',
      parameters: Object.keys(parameters).map((key) =>
        key === 'HeartbeatTimeout'
          ? `ParameterKey=${key},ParameterValue=${timeout}`
          : `ParameterKey=${key},UsePreviousValue=true`,
      ),
    });
  }
}
