/** The fields of a message, for a person to recognise the message; none for a message that the function will refuse. */
export function fieldsOf(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

/** One line that says what a message is about. */
export function summaryOf(fields: Record<string, unknown>): string {
  const { LifecycleTransition, Event, EC2InstanceId, AutoScalingGroupName, Origin, Destination, Time } = fields;
  const way = Origin && `${Origin} → ${Destination}`;
  const group = AutoScalingGroupName && `group ${AutoScalingGroupName}`;
  const parts = [LifecycleTransition ?? Event, EC2InstanceId, group, way, Time].filter(Boolean);
  return parts.length > 0 ? parts.join('  ') : 'not an Auto Scaling message';
}
