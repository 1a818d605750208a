import { runSimulation } from '@cloud-copilot/iam-simulate';
import { propertiesOf, type Stack } from './stack.ts';

export interface PolicyDocument {
  readonly Version: string;
  readonly Statement: readonly { readonly Action: string | readonly string[] }[];
}

export interface Role {
  readonly AssumeRolePolicyDocument: PolicyDocument;
  readonly Policies: readonly { readonly PolicyDocument: PolicyDocument | string }[];
}

/** The policies of a role of the template. One policy is a JSON text. */
export function policiesOf(stack: Stack, role: string): PolicyDocument[] {
  return propertiesOf<Role>(stack, role).Policies.map(({ PolicyDocument: document }) =>
    typeof document === 'string' ? JSON.parse(document) : document,
  );
}

/** A call as IAM sees the call. `context` holds the condition keys that the service sends. */
export interface Call {
  readonly action: string;
  readonly resource: string;
  readonly context?: Readonly<Record<string, string | string[]>>;
}

/** The ARNs that the resources of a stack could have, by the name that `deploy` gives them. */
export const ARNS = {
  Topic: 'arn:aws:sns:us-west-2:123456789012:remove-from-lb-Topic',
  'FailureQueue.Arn': 'arn:aws:sqs:us-west-2:123456789012:remove-from-lb-FailureQueue',
  'LogGroup.Arn': 'arn:aws:logs:us-west-2:123456789012:log-group:remove-from-lb-LogGroup:*',
  'HookRole.Arn': 'arn:aws:iam::123456789012:role/remove-from-lb-HookRole-1A2B',
} as const;

interface OtherPolicies {
  /** The policy of the resource, which is a topic or a KMS key. */
  readonly resourcePolicy?: PolicyDocument | undefined;
  /** The permissions boundary of the role. */
  readonly boundary?: PolicyDocument;
  /** The role's path and name. */
  readonly role?: string;
}

/** Whether a role with these policies may make the call. */
export function roleMay(
  policies: readonly PolicyDocument[],
  { context, ...call }: Call,
  { resourcePolicy, boundary, role = 'remove-from-lb-HookRole-1A2B' }: OtherPolicies = {},
): Promise<boolean> {
  const named = (documents: readonly PolicyDocument[]) =>
    documents.map((document, index) => ({ name: `policy ${index}`, policy: withArns(document) }));
  const session = `arn:aws:sts::123456789012:assumed-role/${role.replace(/.*\//, '')}/session`;
  const principal = { 'aws:PrincipalArn': `arn:aws:iam::123456789012:role/${role}` };
  return isAllowed(
    session,
    { ...call, context: { ...principal, ...context } },
    {
      identityPolicies: named(policies),
      resourcePolicy: resourcePolicy && withArns(resourcePolicy),
      ...(boundary && { permissionBoundaryPolicies: named([boundary]) }),
    },
  );
}

/** Whether a resource's policy lets an AWS service make the call. */
export function serviceMay(service: string, policy: PolicyDocument, call: Call): Promise<boolean> {
  return isAllowed(service, call, { identityPolicies: [], resourcePolicy: withArns(policy) });
}

type Policies = Pick<
  Parameters<typeof runSimulation>[0],
  'identityPolicies' | 'resourcePolicy' | 'permissionBoundaryPolicies'
>;

async function isAllowed(principal: string, { action, resource, context = {} }: Call, policies: Policies) {
  const accountId = /^arn:[^:]*:[^:]*:[^:]*:(\d*):/.exec(resource)?.[1] || '123456789012';
  const request = { principal, action, resource: { resource, accountId }, contextVariables: { ...context } };
  const result = await runSimulation(
    { request, serviceControlPolicies: [], resourceControlPolicies: [], ...policies },
    {},
  );
  if (result.resultType === 'error') throw new Error(JSON.stringify(result.errors));
  return result.overallResult === 'Allowed';
}

function withArns(document: PolicyDocument): unknown {
  return JSON.parse(JSON.stringify(document), (_, value) => ARNS[value as keyof typeof ARNS] ?? value);
}
