import type { Facts } from '../facts/facts.ts';
import { missingOutputs } from '../facts/stack.ts';
import { broken, type Finding, ok, unknown } from '../link.ts';

// A deployment compares the template with the last one, not with what exists. So it would repair neither of these.
export const DELETED = 'deleted outside CloudFormation: delete the stack and deploy again';
export const CHANGED = 'changed outside CloudFormation: delete the stack and deploy again';

// CloudFormation can only delete such a stack:
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
const ONLY_DELETE = ['ROLLBACK_COMPLETE', 'ROLLBACK_FAILED', 'CREATE_FAILED', 'DELETE_FAILED'];

export function judgeStack({ deployment }: Pick<Facts, 'deployment'>): Finding {
  const { description, name, region, accountId, similarStacks } = deployment;
  if (description === 'absent') {
    const place = accountId === undefined ? region : `${region}, account ${accountId},`;
    const others =
      similarStacks.length > 0 ? `; stacks made from template.yaml there: ${similarStacks.join(', ')}` : '';
    const fix = 'give the right --stack, region (AWS_REGION) and account (AWS_PROFILE)';
    return broken(`${place} has no stack ${name}${others}`, fix);
  }
  if ('unreadable' in description) return unknown(`${description.unreadable}; nothing else can be looked at`);
  const { StackStatus: status = '', StackStatusReason: reason } = description;
  const finding = reason ? `${status} (${reason})` : status;
  if (ONLY_DELETE.includes(status)) {
    return broken(`${finding}: the next scale-in sets no tag`, 'delete the stack first, then deploy again');
  }
  if (status.endsWith('_IN_PROGRESS')) return unknown(`${finding}: check again when it is done`);
  const missing = missingOutputs(description);
  if (missing.length > 0) {
    const origin = `the stack was not made from template.yaml, because it lacks the outputs ${missing.join(', ')}`;
    return broken(`${finding}: ${origin}`, 'give the right --stack');
  }
  if (status === 'UPDATE_ROLLBACK_COMPLETE') return ok(`${finding}: the last update failed and was undone`);
  if (/^(CREATE|UPDATE|IMPORT)_COMPLETE$/.test(status)) return ok(finding);
  const next = status === 'UPDATE_ROLLBACK_FAILED' ? 'continue the rollback in CloudFormation' : 'deploy again';
  return broken(`${finding}: the next scale-in may set no tag`, `remove the reason, then ${next}`);
}
