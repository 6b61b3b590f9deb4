import { expect, test } from 'vitest';
import type { PrinterColumn } from './kind.ts';
import { printerValue } from './printer-value.ts';
import type { Resource } from './resource.ts';

const NOW_MS = Date.parse('2026-01-01T00:05:12Z');
const resource = {
  metadata: { creationTimestamp: '2026-01-01T00:00:00Z' },
  spec: { hosts: ['reviews'], port: 0, empty: null, when: 'never' },
} as unknown as Resource;

function shown(path: string[], type: PrinterColumn['type'] = 'string'): unknown {
  return printerValue(resource, { name: 'X', path, type, doc: '', priority: 0 }, NOW_MS);
}

test('a column shows lists as JSON, numbers as they are, dates as ages', () => {
  expect(shown(['spec', 'hosts'])).toBe('["reviews"]');
  expect(shown(['spec', 'port'])).toBe(0);
  expect(shown(['metadata', 'creationTimestamp'], 'date')).toBe('5m12s');
  expect(shown(['spec', 'when'], 'date')).toBe('<unknown>');
});

test('what is not there, is null, or belongs to the prototype is nothing', () => {
  expect(shown(['spec', 'gateways'])).toBeUndefined();
  expect(shown(['spec', 'empty'])).toBeUndefined();
  expect(shown(['spec', 'port', 'deeper'])).toBeUndefined();
  expect(shown(['spec', 'constructor'])).toBeUndefined();
});
