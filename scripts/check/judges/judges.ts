import { isKnown } from '../facts/fact.ts';
import type { Facts } from '../facts/facts.ts';
import type { Finding, Link } from '../link.ts';
import {
  judgeConcurrency,
  judgeFailureQueue,
  judgeFunction,
  judgeFunctionCode,
  judgeFunctionEvents,
  judgeFunctionPermission,
  judgeFunctionSettings,
  judgeLastTagged,
} from './function.ts';
import { judgeGroups, judgeMissingGroups, judgeTagPermission } from './groups.ts';
import { judgeHookRoles, judgePublish, judgeUseOfTopicKey } from './hook-role.ts';
import { judgeLaunchingHooks, judgeOtherTerminatingHooks, judgeTerminatingHooks, judgeWaitingTime } from './hooks.ts';
import { judgeInService, judgeWaitingToLeave } from './instances.ts';
import { judgeReturnToService, judgeRootVolumeReplacement } from './return-to-service.ts';
import { judgeStack } from './stack.ts';
import {
  judgeSubscription,
  judgeSubscriptionFilter,
  judgeSubscriptionRedrive,
  judgeTopic,
  judgeTopicKey,
} from './topic.ts';

type Findings = Finding | readonly (Finding & { readonly group?: string })[];

/** Every link with its judge, in the order of the output. The links of a group come once for each group. */
const LINKS = {
  shared: [
    ['stack', judgeStack],
    ['topic', judgeTopic],
    ['topic key', judgeTopicKey],
    ['subscription', judgeSubscription],
    ['subscription filter', judgeSubscriptionFilter],
    ['subscription redrive', judgeSubscriptionRedrive],
    ['function', judgeFunction],
    ['function settings', judgeFunctionSettings],
    ['function code', judgeFunctionCode],
    ['function permission', judgeFunctionPermission],
    ['function events', judgeFunctionEvents],
    ['failure queue', judgeFailureQueue],
    ['last tagged', judgeLastTagged],
    ['groups', judgeGroups],
    ['group', judgeMissingGroups],
  ],
  ofGroup: [
    ['terminating hook', judgeTerminatingHooks],
    ['other terminating hook', judgeOtherTerminatingHooks],
    ['launching hook', judgeLaunchingHooks],
    ['hook role', judgeHookRoles],
    ['publish to topic', judgePublish],
    ['use of topic key', judgeUseOfTopicKey],
    ['tag permission', judgeTagPermission],
    ['waiting time', judgeWaitingTime],
    ['return to service', judgeReturnToService],
    ['root volume replacement', judgeRootVolumeReplacement],
    ['concurrency', judgeConcurrency],
    ['in service', judgeInService],
    ['waiting to leave', judgeWaitingToLeave],
  ],
} as const;

export function judge(facts: Facts): readonly Link[] {
  const groups = isKnown(facts.groups) ? facts.groups.examined : [];
  return [
    ...LINKS.shared.flatMap(([link, judgeLink]) => linksOf(link, null, judgeLink(facts))),
    ...groups.flatMap((group) =>
      LINKS.ofGroup.flatMap(([link, judgeLink]) => linksOf(link, group.name, judgeLink(facts, group))),
    ),
  ];
}

function linksOf(link: string, group: string | null, findings: Findings): readonly Link[] {
  return [findings].flat().map((finding) => ({ link, group, ...finding }));
}
