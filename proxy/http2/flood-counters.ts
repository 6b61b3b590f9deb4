import type { Counter } from '../observe/metric.ts';
import type { StatsScope } from '../observe/stats.ts';
import { FLOOD_NAMES, type FloodKind } from './flood-guard.ts';

/** `h2_flood{kind}` (A2.8) of one scope. Most scopes never meet a flood: a series is made with its first one. */
export class FloodCounters {
  readonly #scope: StatsScope;
  readonly #counters: (Counter | undefined)[] = [];

  constructor(scope: StatsScope) {
    this.#scope = scope;
  }

  count(kind: FloodKind): void {
    let counter = this.#counters[kind];
    if (counter === undefined) {
      const name = FLOOD_NAMES[kind] ?? 'other';
      counter = this.#scope.counter(
        { dotted: `h2_flood.${name}`, prometheus: 'h2_flood' },
        'HTTP/2 connections ended with ENHANCE_YOUR_CALM',
        [['kind', name]],
      );
      this.#counters[kind] = counter;
    }
    counter.value++;
  }
}
