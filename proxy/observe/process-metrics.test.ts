import { expect, test } from 'vitest';
import { defineProcessMetrics } from './process-metrics.ts';
import { StatsRegistry } from './stats.ts';

test('the process shows its memory, CPU time, files and loop delay', () => {
  const registry = new StatsRegistry();
  const stop = defineProcessMetrics(registry, 1_700_000_000_000);
  const read = (name: string) => [...registry.families.get(name)!.series.values()][0]!.read!();
  expect(read('process_start_time_seconds')).toBe(1_700_000_000);
  expect(read('process_resident_memory_bytes')).toBeGreaterThan(10_000_000);
  expect(read('process_cpu_seconds_total')).toBeGreaterThan(0);
  expect(read('process_open_fds')).toBeGreaterThan(2);
  expect(read('weft_process_event_loop_delay_seconds')).toBeGreaterThanOrEqual(0);
  stop();
  expect(registry.families.has('process_open_fds')).toBe(false);
});
