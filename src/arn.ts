import { InvalidFieldError } from './invalid-field-error.ts';

/** A text that is no Amazon Resource Name with a region and an account. */
export class InvalidArnError extends InvalidFieldError {
  override readonly name = 'InvalidArnError';
}

/**
 * Reads region and account out of `arn:partition:service:region:account:resource`.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
 * @param field where the ARN stood, for the error.
 * @throws InvalidArnError
 */
export function readArn(field: string, arn: unknown): { readonly region: string; readonly accountId: string } {
  const match = typeof arn === 'string' && ARN.exec(arn);
  if (!match) throw new InvalidArnError(field, arn, 'arn:partition:service:region:account:…');
  const [, region, accountId] = match as unknown as [arn: string, region: string, accountId: string];
  return { region, accountId };
}

const ARN = /^arn:[a-z-]+:[a-z0-9-]+:([a-z]+(?:-[a-z]+)+-\d+):(\d{12}):/;
