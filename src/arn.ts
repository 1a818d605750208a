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
  const match = typeof arn === 'string' ? /^arn:[a-z-]+:[a-z0-9-]+:([a-z]+(?:-[a-z]+)+-\d+):(\d{12}):/.exec(arn) : null;
  const [, region, accountId] = match ?? [];
  if (region === undefined || accountId === undefined) {
    throw new InvalidArnError(field, arn, 'arn:partition:service:region:account:…');
  }
  return { region, accountId };
}
