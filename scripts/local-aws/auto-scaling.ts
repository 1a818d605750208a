// The calls of Auto Scaling that a consumer makes:
// https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_Operations.html
import type { Instance } from './ec2-instances.ts';
import { Ec2Error, element, list } from './ec2-query.ts';

type Instances = ReadonlyMap<string, Instance>;

// The API's reference does not name this limit, but Auto Scaling refuses more.
const MOST_IDS = 50;

/** The actions of Auto Scaling. Each returns the content of its result. */
export const AUTO_SCALING_ACTIONS: Readonly<
  Record<string, (parameters: URLSearchParams, instances: Instances) => string>
> = {
  DescribeAutoScalingInstances(parameters, instances) {
    const ids = list(parameters, 'InstanceIds.member');
    if (ids.length === 0) throw new Ec2Error('ValidationError', 'this endpoint describes only instances with an id');
    if (ids.length > MOST_IDS) {
      throw new Ec2Error(
        'ValidationError',
        `The number of instance ids that may be passed in is limited to ${MOST_IDS}`,
      );
    }
    return `<AutoScalingInstances>${ids.map((id) => memberXml(id, instances.get(id))).join('')}</AutoScalingInstances>`;
  },

  /** Only `Terminating:Wait` is known here. The name of the hook is not compared. */
  CompleteLifecycleAction(parameters, instances) {
    for (const name of ['AutoScalingGroupName', 'LifecycleHookName', 'LifecycleActionResult']) {
      if (!parameters.get(name)) throw new Ec2Error('ValidationError', `${name} is missing`);
    }
    const id = parameters.get('InstanceId') ?? '';
    const instance = instances.get(id);
    if (
      instance?.lifecycleState !== 'Terminating:Wait' ||
      groupOf(instance) !== parameters.get('AutoScalingGroupName')
    ) {
      throw new Ec2Error('ValidationError', `No active Lifecycle Action found with instance ID ${id}`);
    }
    instance.lifecycleState = 'Terminating:Proceed';
    return '';
  },
};

/** Nothing for an instance that is in no group. */
function memberXml(id: string, instance: Instance | undefined): string {
  const group = groupOf(instance);
  if (group === undefined) return '';
  const fields = {
    InstanceId: id,
    AutoScalingGroupName: group,
    AvailabilityZone: 'us-west-2a',
    LifecycleState: instance?.lifecycleState ?? 'InService',
    HealthStatus: 'HEALTHY',
    ProtectedFromScaleIn: 'false',
  };
  return `<member>${Object.entries(fields)
    .map(([name, content]) => element(name, content))
    .join('')}</member>`;
}

function groupOf(instance: Instance | undefined): string | undefined {
  return instance?.tags.get('aws:autoscaling:groupName');
}
