import type { LifecycleHook } from '@aws-sdk/client-auto-scaling';
import { type Group, LAUNCHING, ownHooks, TERMINATING } from './groups.ts';
import { findings, type Link } from './link.ts';
import { putHookCommand } from './put-hook-command.ts';
import type { Stack } from './stack.ts';

/** The group's terminating hooks: those to the topic, and the others. */
export function checkHooks(stack: Stack, group: Group): readonly Link[] {
  const own = ownHooks(group, stack, TERMINATING);
  if (own.length > 0) {
    return [...own.map((hook) => checkOwn(stack, group, hook)), ...checkOthers(stack, group, own)];
  }
  const elsewhere = group.hooks
    .filter((hook) => hook.LifecycleTransition === TERMINATING)
    .map((hook) => `${hook.LifecycleHookName} to ${hook.NotificationTargetARN ?? 'EventBridge'}`);
  const found = `none to the topic${elsewhere.length > 0 ? `, only ${elsewhere.join(', ')}` : ''}: the next scale-in sets no tag, and requests are lost`;
  return [findings('terminating hook', group.name).broken(found, putHookCommand(stack, group.name))];
}

function checkOwn(stack: Stack, group: Group, hook: LifecycleHook): Link {
  const as = findings('terminating hook', group.name);
  if (hook.RoleARN === undefined) {
    const found = `${describe(hook)}, without a role: nothing is published, and the next scale-in sets no tag`;
    return as.broken(found, putHookCommand(stack, group.name, hook));
  }
  if (hook.DefaultResult !== 'CONTINUE') {
    const found = `${describe(hook)}: the end of the wait skips the group's other hooks, and a retention policy may keep the instance, billed`;
    return as.broken(found, putHookCommand(stack, group.name, hook));
  }
  return as.ok(describe(hook));
}

function checkOthers(stack: Stack, group: Group, own: readonly LifecycleHook[]): readonly Link[] {
  const others = group.hooks.filter((hook) => hook.LifecycleTransition === TERMINATING && !own.includes(hook));
  const longest = Math.max(...own.map(timeoutOf));
  return others.map((hook) => {
    const as = findings('other terminating hook', group.name);
    // ABANDON ends every other hook's wait; CONTINUE lets them go on.
    if (hook.DefaultResult === 'CONTINUE' || timeoutOf(hook) > longest) return as.ok(describe(hook));
    const found = `${describe(hook)}: when it times out, the next scale-in's wait ends too, after ${timeoutOf(hook)} of ${longest} s`;
    return as.broken(found, putHookCommand(stack, group.name, hook));
  });
}

/** The launching hook to the topic, where there is one: it must not end an instance's launch. */
export function checkLaunchingHooks(stack: Stack, group: Group): readonly Link[] {
  return ownHooks(group, stack, LAUNCHING).map((hook) => {
    const as = findings('launching hook', group.name);
    if (hook.DefaultResult === 'CONTINUE') return as.ok(describe(hook));
    const found = `${describe(hook)}: nobody completes it, so that every instance is terminated at the end of its launch`;
    return as.broken(found, putHookCommand(stack, group.name, hook));
  });
}

/** Seconds; Auto Scaling's default where the answer leaves it out. */
export function timeoutOf({ HeartbeatTimeout = 3600 }: LifecycleHook): number {
  return HeartbeatTimeout;
}

function describe(hook: LifecycleHook): string {
  return `${hook.LifecycleHookName}, heartbeat timeout ${timeoutOf(hook)} s, default result ${hook.DefaultResult ?? 'ABANDON'}`;
}
