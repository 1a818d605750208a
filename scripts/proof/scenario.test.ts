import { describe, expect, test } from 'vitest';
import { ID, OTHER } from './fixtures.ts';
import { noteServersOut, type ScaleIn } from './scenario.ts';

describe('an instance is out of HAProxy', () => {
  test('when it is out of the last of several HAProxies', () => {
    const scaleIn: ScaleIn = { instanceId: ID };
    noteServersOut([scaleIn], [new Set([ID]), new Set()], 1);
    expect(scaleIn.outAt).toBeUndefined();
    noteServersOut([scaleIn], [new Set(), new Set([OTHER])], 2);
    noteServersOut([scaleIn], [new Set(), new Set([OTHER])], 3);
    expect(scaleIn.outAt).toBe(2);
  });

  test('not while one HAProxy does not answer', () => {
    const scaleIn: ScaleIn = { instanceId: ID };
    noteServersOut([scaleIn], [new Set(), undefined], 1);
    expect(scaleIn.outAt).toBeUndefined();
  });

  test('not if HAProxy uses it again before the kill; after the kill it may come back', () => {
    const scaleIn: ScaleIn = { instanceId: ID };
    noteServersOut([scaleIn], [new Set()], 1);
    noteServersOut([scaleIn], [new Set([ID])], 2);
    expect(scaleIn.outAt).toBeUndefined();
    noteServersOut([scaleIn], [new Set()], 3);
    scaleIn.killedAt = 4;
    noteServersOut([scaleIn], [new Set([ID])], 5);
    expect(scaleIn.outAt).toBe(3);
  });
});
