// Lambda's own log line takes `errorType` from the name of the error's constructor.
import { expect, it } from 'vitest';
import { ec2, ec2Error } from './helpers/ec2.ts';
import { event } from './helpers/event.ts';
import { coldStart, invoke } from './helpers/invoke.ts';

it.each([
  ['ForeignAccountError', event('foreign-account')],
  ['InvalidEventError', {}],
  ['UnauthorizedOperation', event('terminating')],
])("Lambda's errorType is the error's name: %s", async (name, given) => {
  // The same error comes twice, as the SDK may throw an error again.
  ec2.onAnyCommand().rejects(ec2Error('UnauthorizedOperation'));
  for (let round = 0; round < 2; round += 1) {
    const { error } = await invoke(given);
    expect((error as Error).constructor.name).toBe(name);
  }
});

it("Lambda's errorType is the error's name when the function does not start", async () => {
  const error = await coldStart({ TAG_KEY: '' }).catch((thrown: Error) => thrown);
  expect(error.constructor.name).toBe('InvalidSettingError');
});
