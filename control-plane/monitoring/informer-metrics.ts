import { Counter, Gauge, type Registry } from 'prom-client';
import type { Informer } from '../kubernetes/informer.ts';

/**
 * What of a cluster is followed, by kind: `pilot_k8s_reg_events` as Istio names it, `weft_kubernetes_*` for what is our own.
 * `nowMs`: the informers' clock.
 */
export function registerInformerMetrics(
  registry: Registry,
  informers: readonly Informer<unknown>[],
  nowMs: () => number,
): void {
  const registers = [registry];
  const events = new Counter({
    name: 'pilot_k8s_reg_events',
    help: 'Changes of objects that services come from',
    labelNames: ['type', 'event'],
    registers,
  });
  for (const informer of informers) {
    informer.onChange((changes) => {
      for (const { before, after } of changes) {
        const event = before === undefined ? 'add' : after === undefined ? 'delete' : 'update';
        events.labels(informer.type.kind, event).inc();
      }
    });
  }
  const gauge = (
    name: string,
    help: string,
    value: (informer: Informer<unknown>) => number,
  ): Gauge =>
    new Gauge({
      name: `weft_kubernetes_${name}`,
      help,
      labelNames: ['type'],
      registers,
      collect() {
        for (const informer of informers) this.labels(informer.type.kind).set(value(informer));
      },
    });
  gauge('objects', 'Objects held', ({ stats }) => stats.objects);
  gauge('synced', '1 once a whole list was taken', ({ synced }) => (synced ? 1 : 0));
  gauge('silence_seconds', 'Since something was heard; -1 before', ({ stats }) =>
    stats.lastActivityMs === 0 ? -1 : (nowMs() - stats.lastActivityMs) / 1000,
  );
  gauge('lists', 'Lists taken', ({ stats }) => stats.lists);
  gauge('watches', 'Watches opened', ({ stats }) => stats.watches);
  gauge('events', 'Watch events taken', ({ stats }) => stats.events);
  gauge(
    'errors',
    'Failed requests and events that could not be taken',
    ({ stats }) => stats.errors,
  );
}
