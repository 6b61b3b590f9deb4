import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import type { StatsRegistry } from './stats.ts';

/** Milliseconds between samples of the event-loop delay; each costs a timer. */
const LOOP_SAMPLE_MS = 20;
const QUANTILES = [50, 90, 99] as const;

/**
 * Prometheus' standard `process_*` and Weft's `weft_process_*`, read at scrape time. Returns the way
 * to stop the sampling. `startTimeMs`: wall clock at the start of the process.
 */
export function defineProcessMetrics(registry: StatsRegistry, startTimeMs: number): () => void {
  const scope = registry.scope({ dotted: '', prometheus: '', labels: [] });
  scope.gaugeFrom(
    'process_start_time_seconds',
    'Start time of the process since the epoch',
    () => startTimeMs / 1000,
  );
  scope.gaugeFrom('weft_process_uptime_seconds', 'Age of the process', () => process.uptime());
  scope.counterFrom('process_cpu_seconds_total', 'User and system CPU time spent', () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  scope.gaugeFrom('process_resident_memory_bytes', 'Resident memory', () =>
    process.memoryUsage.rss(),
  );
  scope.gaugeFrom('process_open_fds', 'Open file descriptors', openFds);
  scope.gaugeFrom(
    'weft_process_heap_used_bytes',
    'JavaScript heap in use',
    () => getHeapStatistics().used_heap_size,
  );

  const delay = monitorEventLoopDelay({ resolution: LOOP_SAMPLE_MS });
  delay.enable();
  for (const quantile of QUANTILES) {
    scope.gaugeFrom(
      'weft_process_event_loop_delay_seconds',
      'Delay of the event loop beyond its sampling interval, since the start',
      () => Math.max(0, delay.percentile(quantile) / 1e9 - LOOP_SAMPLE_MS / 1000),
      [['quantile', String(quantile / 100)]],
    );
  }
  return () => {
    delay.disable();
    scope.close();
  };
}

/** -1 where /proc is not there. */
function openFds(): number {
  try {
    return readdirSync('/proc/self/fd').length - 1;
  } catch {
    return -1;
  }
}
