import { expect, test } from 'vitest';
import { configuration } from './load-balancer.ts';

// Words in HAProxy's keywords for health checks, retries and redispatch, and in no other line of the configuration.
const PROTECTION = /check|retr(y|ies)|redispatch/g;

test('only a careful HAProxy has health checks, retries and redispatch, which could hide a mistake of the function', () => {
  const folder = '/run/proof';
  expect(configuration({ folder, port: 1080, mode: 'plain' })).not.toMatch(PROTECTION);
  const careful = configuration({ folder, port: 1080, mode: 'careful' });
  expect(new Set(careful.match(PROTECTION))).toEqual(new Set(['check', 'retry', 'retries', 'redispatch']));
  expect(careful).toContain('disable-l7-retry if METH_POST');
});
