import { expect, test } from 'vitest';
import { nameTable } from './dns.testing.ts';
import { MeshNames } from './mesh-names.ts';

const names = new MeshNames(
  nameTable({
    'reviews.default.svc.cluster.local': ['10.0.0.1'],
    'ratings.shop.svc.cluster.local': ['10.0.0.2'],
    'ratings.shop': ['10.0.0.3'],
    'www.example.com': ['10.0.0.4'],
    '*.example.com': ['10.0.0.5'],
    '*.deep.example.com': ['10.0.0.6'],
  }),
  'default',
);

test.each([
  ['reviews', 'reviews.default.svc.cluster.local', ''],
  ['reviews.default', 'reviews.default.svc.cluster.local', ''],
  ['reviews.default.svc', 'reviews.default.svc.cluster.local', ''],
  ['reviews.default.svc.cluster.local', 'reviews.default.svc.cluster.local', ''],
  ['ratings.shop.svc', 'ratings.shop.svc.cluster.local', ''],
  ['ratings.shop', 'ratings.shop', ''],
  ['www.example.com', 'www.example.com', ''],
  ['other.example.com', '*.example.com', ''],
  ['a.b.example.com', '*.example.com', ''],
  ['a.deep.example.com', '*.deep.example.com', ''],
])('[DS-05] %s means %s', (name, host, canonicalName) => {
  expect(names.find(name, 'default.svc.cluster.local')).toMatchObject({
    host: { host },
    canonicalName,
  });
});

test.each([
  ['reviews.default.default.svc.cluster.local', 'reviews.default.svc.cluster.local'],
  [
    'reviews.default.svc.cluster.local.default.svc.cluster.local',
    'reviews.default.svc.cluster.local',
  ],
  ['www.example.com.default.svc.cluster.local', 'www.example.com'],
  ['x.example.com.default.svc.cluster.local', 'x.example.com'],
])('[DS-05] %s, as a resolver searches, means %s', (name, canonicalName) => {
  expect(names.find(name, 'default.svc.cluster.local')?.canonicalName).toBe(canonicalName);
});

test('[DS-05] any first search domain may stand behind a short name', () => {
  expect(names.find('reviews.lan', 'lan')?.canonicalName).toBe('reviews.default.svc.cluster.local');
});

test.each([
  'ratings', // of another namespace
  'reviews.default.svc.cluster',
  'xreviews',
  'example.com', // a wildcard stands for what is below
  'reviews.other.lan',
  'reviewslan',
  'lan',
  '',
  '.',
])('[DS-05] "%s" is no name of the mesh', (name) => {
  expect(names.find(name, 'lan')).toBe(null);
});

test('[DS-05] a host of another form than its short name says has no short names', () => {
  const { hosts } = nameTable({ 'reviews.default.svc.cluster.local': ['10.0.0.1'] });
  const [named] = hosts.values();
  const odd = new MeshNames(
    {
      version: '',
      hosts: new Map([['reviews.far.example', { ...named!, host: 'reviews.far.example' }]]),
    },
    'default',
  );
  expect(odd.find('reviews', '')).toBe(null);
});
