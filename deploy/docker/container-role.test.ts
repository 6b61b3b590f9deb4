import { expect, test } from 'vitest';
import { healthQuestion } from './container-role.ts';

const commandLine = (...words: string[]) => words.map((word) => `${word}\0`).join('');
const weft = (...words: string[]) =>
  commandLine('/usr/local/bin/node', '--disable-sigusr1', '/opt/weft/weft.mjs', ...words);

test('a sidecar is asked as its environment says', () => {
  expect(healthQuestion(weft('proxy', '--log-level', 'debug'), {})).toEqual({ kind: 'sidecar' });
});

test.each([
  [[], {}, 'http://127.0.0.1:15014/ready'],
  [['--monitoring', '0.0.0.0:9000'], {}, 'http://127.0.0.1:9000/ready'],
  [['--monitoring=[::]:9000', '--data=x'], {}, 'http://[::1]:9000/ready'],
  [['--monitoring=10.0.0.7:9000'], {}, 'http://10.0.0.7:9000/ready'],
  [[], { WEFT_MONITORING: '0.0.0.0:9001' }, 'http://127.0.0.1:9001/ready'],
  [
    ['--monitoring=0.0.0.0:9000'],
    { WEFT_MONITORING: '0.0.0.0:9001' },
    'http://127.0.0.1:9000/ready',
  ],
  [['--monitoring=0.0.0.0:1', '--monitoring=0.0.0.0:2'], {}, 'http://127.0.0.1:2/ready'],
])('a control plane with %j and %j is asked at %s', (args, environment, url) => {
  expect(healthQuestion(weft('control-plane', ...args), environment)).toEqual({
    kind: 'http',
    url,
  });
});

test('behind an init the words of Weft are found', () => {
  expect(healthQuestion(commandLine('/sbin/docker-init', '--') + weft('proxy'), {})).toEqual({
    kind: 'sidecar',
  });
});

test('what ends by itself is healthy while it runs', () => {
  for (const words of [['redirect', '--verify'], ['cli', 'get', 'vs'], ['apply'], []]) {
    expect(healthQuestion(weft(...words), {})).toEqual({ kind: 'none' });
  }
});

test('a process 1 that is not Weft is never called healthy', () => {
  for (const text of [commandLine('/pause'), commandLine('/bin/sh', '-c', 'weft'), '']) {
    expect(healthQuestion(text, {}).kind).toBe('unknown');
  }
});
