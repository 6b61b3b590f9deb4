import { expect, test } from 'vitest';
import { BOOKINFO, testMesh } from './mesh.testing.ts';
import { changeBetween } from './snapshot.ts';

const RULE = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}
`;

test('[OP-02] nothing changed is told from endpoints changed and from policy changed', () => {
  const first = testMesh(RULE);
  const again = testMesh(RULE, BOOKINFO, {}, first);
  expect(changeBetween(first, again)).toEqual({ kind: 'none' });

  const sick = BOOKINFO.map((each) =>
    each.service === 'ratings' ? ({ ...each, health: 'UNHEALTHY' } as const) : each,
  );
  expect(changeBetween(first, testMesh(RULE, sick, {}, first))).toEqual({
    kind: 'endpoints',
    hosts: new Set(['ratings.default.svc.cluster.local']),
  });
  expect(changeBetween(first, testMesh('', BOOKINFO, {}, first)).kind).toBe('configuration');
  const fewer = BOOKINFO.filter(({ service }) => service !== 'details');
  expect(changeBetween(first, testMesh(RULE, fewer, {}, first)).kind).toBe('configuration');
});

test('[SC-03] an endpoint with another identity changes what callers expect, not only an address', () => {
  const first = testMesh();
  const other = [...BOOKINFO, { service: 'ratings', serviceAccount: 'other' }];
  expect(changeBetween(first, testMesh('', other, {}, first)).kind).toBe('configuration');
});

test('[CL-01] references that lead nowhere are reported by their policy', () => {
  const { warnings } = testMesh(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: routes}
spec:
  hosts: [reviews]
  http:
  - route:
    - {destination: {host: nobody}, weight: 1}
    - {destination: {host: reviews, subset: v8}, weight: 1}
    - {destination: {host: reviews, port: {number: 1}}, weight: 1}
    - {destination: {host: reviews, subset: v1}, weight: 1}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v7, labels: {version: v7}}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ghost}
spec: {host: ghost}
`);
  expect(warnings.map(({ code, name, message }) => `${code} ${name}: ${message}`)).toEqual([
    'IST0101 routes: destination nobody.default.svc.cluster.local is no known service',
    'IST0101 routes: no DestinationRule defines subset v8 of reviews.default.svc.cluster.local',
    'IST0101 routes: destination reviews.default.svc.cluster.local has no port 1',
    'IST0173 reviews: subset v7 selects no endpoint of reviews.default.svc.cluster.local',
    'IST0174 ghost: no service is called ghost.default.svc.cluster.local',
  ]);
});
