import { expect, test } from 'vitest';
import { ownPorts } from './own-ports.ts';
import { parseScrapeTargets, refusedTargets } from './scrape-target.ts';

const targets = (value: object) => {
  const parsed = parseScrapeTargets(JSON.stringify(value));
  return parsed.ok ? parsed.targets : parsed.problems;
};

test.each<[object, object[]]>([
  [{ scrape: 'true', path: '/m', port: '9100' }, [{ port: 9100, path: '/m' }]],
  [{ scrape: 'true', path: '', port: '' }, [{ port: 80, path: '/metrics' }]],
  [{ port: 8080 }, [{ port: 8080, path: '/metrics' }]],
  [{ scrape: 'false', port: '9100' }, []],
  [
    {
      scrape: 'true',
      targets: [{ port: '8080', path: '/m?x=1' }, { port: '9100', path: 'deep/m' }, { port: '1' }],
    },
    [
      { port: 8080, path: '/m?x=1' },
      { port: 9100, path: '/deep/m' },
      { port: 1, path: '/metrics' },
    ],
  ],
])('[OB-05] %j names its pages', (value, expected) => {
  expect(targets(value)).toEqual(expected);
});

test.each([
  [{ port: 'web' }, 'port "web" must be a number'],
  [{ port: '0' }, 'port "0" must be a number'],
  [{ port: '1', path: '/a\r\nb' }, 'path "/a\\r\\nb" must be a path'],
  [{ targets: Array(33).fill({ port: '1' }) }, 'has more than 32 targets'],
])('[OB-05] %j is refused', (value, problem) => {
  expect(targets(value).join()).toContain(problem);
});

test.each([
  ['{', 'is no JSON'],
  ['[]', 'must be an object'],
])('%s is refused', (text, problem) => {
  const parsed = parseScrapeTargets(text);
  expect(parsed.ok ? '' : parsed.problems.join()).toContain(problem);
});

test('[OB-05] a page that would be the sidecar itself is refused with what is there', () => {
  const ports = ownPorts('redirect', [[4001, 'the admin port of the sidecar']]);
  const asked = [15_020, 4001, 15_090, 8080].map((port) => ({ port, path: '/metrics' }));
  expect(refusedTargets(asked, ports)).toEqual([
    "port 15020 cannot be scraped for the app: it is the status port of the sidecar, which is this page itself; name the app's own port",
    "port 4001 cannot be scraped for the app: it is the admin port of the sidecar; name the app's own port",
    "port 15090 cannot be scraped for the app: it is the sidecar's own metrics, which are merged already; name the app's own port",
  ]);
  // Where nothing is redirected, a number alone reserves nothing.
  expect(refusedTargets(asked, ownPorts('explicit', []))).toEqual([]);
});
