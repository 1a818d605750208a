/**
 * Keeps an error's name for Lambda's own log line. Lambda takes `errorType` from the name of the constructor, which the
 * build shortens to a letter. https://github.com/aws/aws-lambda-nodejs-runtime-interface-client
 */
export function keepErrorType(error: unknown): void {
  if (!(error instanceof Error)) return;
  Object.defineProperty(error, 'constructor', { value: { name: error.name }, configurable: true });
}
