import { GetAccountSettingsCommand, GetFunctionConcurrencyCommand, type LambdaClient } from '@aws-sdk/client-lambda';
import { awsCommand } from './aws-command.ts';
import type { Group } from './groups.ts';
import { examine, type Findings, type Link } from './link.ts';
import type { Stack } from './stack.ts';

// "Concurrent executions" of Lambda in Service Quotas.
const QUOTA_CODE = 'L-B99A9384';

const LATE =
  'a scale-in of more at once is throttled; Lambda tries again after 1 s to 5 min, and the last tags come late or never';

/** How many copies of the function can run at once, against the group's size: each instance that leaves needs one. */
export function checkConcurrency(lambda: LambdaClient, stack: Stack, group: Group): Promise<readonly Link[]> {
  const { region, functionName } = stack;
  const size = group.description.Instances?.length ?? 0;
  return examine('concurrency', group.name, async (as) => {
    const { ReservedConcurrentExecutions: reserved } = await lambda.send(
      new GetFunctionConcurrencyCommand({ FunctionName: functionName }),
    );
    return reserved === undefined ? checkAccount(as) : checkReserved(as, reserved);
  });

  function checkReserved(as: Findings, reserved: number): Link {
    const copies = `${reserved} copies reserved, ${size} instances in the group`;
    if (reserved > 0 && reserved >= size) return as.ok(copies);
    const mend = awsCommand(region, 'lambda delete-function-concurrency', { 'function-name': functionName });
    return as.broken(`${copies}: ${reserved === 0 ? 'the next scale-in sets no tag' : LATE}`, mend);
  }

  async function checkAccount(as: Findings): Promise<Link> {
    const { AccountLimit: limits } = await lambda.send(new GetAccountSettingsCommand());
    const { ConcurrentExecutions: total, UnreservedConcurrentExecutions: unreserved } = limits ?? {};
    if (total === undefined || unreserved === undefined) return as.unknown("the answer has no account's limit");
    const copies = `${unreserved} copies for all functions of the account, ${size} instances in the group`;
    if (unreserved >= size) return as.ok(copies);
    const mend = awsCommand(region, 'service-quotas request-service-quota-increase', {
      'service-code': 'lambda',
      'quota-code': QUOTA_CODE,
      'desired-value': Math.max(1000, total - unreserved + size),
    });
    return as.broken(`${copies}: ${LATE}`, mend);
  }
}
