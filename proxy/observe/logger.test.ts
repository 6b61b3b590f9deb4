import { expect, test } from 'vitest';
import { Loggers, parseLogLevel } from './logger.ts';

function captured(level: 'info' | 'debug' = 'info') {
  const lines: Record<string, unknown>[] = [];
  const loggers = new Loggers({
    level,
    destination: { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) },
  });
  return { loggers, lines, messages: () => lines.map(({ msg }) => msg) };
}

test('a line names its logger and level', () => {
  const { loggers, lines } = captured();
  loggers.get('xds').warn({ nonce: 'n1' }, 'refused');
  expect(lines[0]).toMatchObject({ logger: 'xds', level: 'warn', nonce: 'n1', msg: 'refused' });
  expect(Date.parse(lines[0]!['time'] as string)).not.toBeNaN();
});

test('[CL-07] levels change while the process runs, one by one and all at once', () => {
  const { loggers, messages } = captured();
  const [xds, upstream] = [loggers.get('xds'), loggers.get('upstream')];
  xds.debug('hidden');
  expect(loggers.set('xds', 'debug')).toBe(true);
  expect(loggers.set('nope', 'debug')).toBe(false);
  xds.debug('shown');
  upstream.debug('hidden');
  loggers.setAll('error');
  xds.info('hidden');
  loggers.get('later').info('hidden');
  loggers.get('later').error('shown too');
  expect(messages()).toEqual(['shown', 'shown too']);
  expect(loggers.levels()).toEqual([
    ['later', 'error'],
    ['upstream', 'error'],
    ['xds', 'error'],
  ]);
});

test("Envoy's level names are understood", () => {
  const names = ['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off', 'WARN', 'loud'];
  expect(names.map(parseLogLevel)).toEqual([
    'trace',
    'debug',
    'info',
    'warn',
    'error',
    'fatal',
    'silent',
    'warn',
    null,
  ]);
});

test('[A5.1] a key or token that gets into a log call is redacted', () => {
  const { loggers, lines } = captured();
  loggers.get('ca').info({ token: 'secret', request: { privateKey: 'PEM' } }, 'signing');
  expect(JSON.stringify(lines)).not.toMatch(/secret|PEM/);
});

test('[A7.3] a hostile value does not end the line', () => {
  const { loggers, lines } = captured();
  loggers.get('http').info({ path: '/a\n{"level":"fatal"}' }, 'bad\nrequest');
  expect(lines).toHaveLength(1);
});
