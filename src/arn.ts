import { InvalidFieldError } from './invalid-field-error.ts';

const ARN = /^arn:[a-z-]+:[a-z0-9-]+:(?<region>[a-z]+(?:-[a-z]+)+-\d+):(?<accountId>\d{12}):/;

/**
 * Reads region and account from `arn:partition:service:region:account:resource`.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
 * @param field where the ARN was found, for the error.
 * @throws InvalidFieldError named InvalidArnError.
 */
export function readArn(field: string, arn: unknown): { readonly region: string; readonly accountId: string } {
  const { region = '', accountId = '' } = (typeof arn === 'string' && ARN.exec(arn)?.groups) || {};
  if (region !== '') return { region, accountId };
  throw new InvalidFieldError('InvalidArnError', field, arn, 'arn:partition:service:region:account:…');
}
