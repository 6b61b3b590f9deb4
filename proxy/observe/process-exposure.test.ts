import { expect, test } from 'vitest';
import { opensInspectorOnSignal, processExposures } from './process-exposure.ts';

const whats = (
  variables: Record<string, string>,
  execArgv: readonly string[] = [],
  inspectorUrl = '',
) => processExposures({ variables, execArgv, inspectorUrl }).map(({ what }) => what);

test('[A5.6] nothing is said of a clean start', () => {
  expect(whats({ NODE_OPTIONS: '', PATH: '/bin' }, ['--disable-sigusr1'])).toEqual([]);
});

test('[A5.6] each variable that loads code or weakens checks is named', () => {
  expect(
    whats({ NODE_OPTIONS: '-r x', LD_PRELOAD: 'a.so', NODE_TLS_REJECT_UNAUTHORIZED: '0' }),
  ).toEqual(['NODE_OPTIONS', 'LD_PRELOAD', 'NODE_TLS_REJECT_UNAUTHORIZED']);
});

test('[A5.6] an inspector is named, by its flag or because it listens', () => {
  expect(whats({}, ['--inspect=0.0.0.0:9229'])).toEqual(['--inspect=0.0.0.0:9229']);
  expect(whats({}, ['--inspect-brk'])).toEqual(['--inspect-brk']);
  expect(whats({}, [], 'ws://127.0.0.1:9229/x')).toEqual(['inspector']);
});

test('[A5.6] without --disable-sigusr1 a signal opens an inspector', () => {
  expect(opensInspectorOnSignal([])).toBe(true);
  expect(opensInspectorOnSignal(['--disable-sigusr1'])).toBe(false);
});
