// The calls of Auto Scaling that a consumer makes, in Auto Scaling's query protocol:
// https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_Operations.html
import type { Instance } from './ec2-instances.ts';
import { Ec2Error, escapeXml, list } from './ec2-query.ts';

const GROUP_TAG = 'aws:autoscaling:groupName';

/** Each action returns the content of its result. */
export const AUTO_SCALING_ACTIONS: Readonly<
  Record<string, (parameters: URLSearchParams, instances: ReadonlyMap<string, Instance>) => string>
> = {
  DescribeAutoScalingInstances(parameters, instances) {
    const members = list(parameters, 'InstanceIds.member').flatMap((id) => {
      const { tags, lifecycleState = 'InService' } = instances.get(id) ?? {};
      const group = tags?.get(GROUP_TAG);
      if (group === undefined) return [];
      const fields = `<InstanceId>${escapeXml(id)}</InstanceId><AutoScalingGroupName>${escapeXml(group)}</AutoScalingGroupName>`;
      return [`<member>${fields}<LifecycleState>${lifecycleState}</LifecycleState></member>`];
    });
    return `<AutoScalingInstances>${members.join('')}</AutoScalingInstances>`;
  },

  /** Only `Terminating:Wait` is known here. The name of the hook is not compared. */
  CompleteLifecycleAction(parameters, instances) {
    const id = parameters.get('InstanceId') ?? '';
    const instance = instances.get(id);
    const group = instance?.tags.get(GROUP_TAG);
    if (instance?.lifecycleState !== 'Terminating:Wait' || group !== parameters.get('AutoScalingGroupName')) {
      throw new Ec2Error('ValidationError', `No active Lifecycle Action found with instance ID ${id}`);
    }
    instance.lifecycleState = 'Terminating:Proceed';
    return '';
  },
};
