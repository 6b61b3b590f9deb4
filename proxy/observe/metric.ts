/**
 * The three kinds of metric as the request path sees them: an object resolved once, when a route,
 * cluster or label set is compiled, to which a request adds a number. No label is looked at here.
 */

/** Goes up only; back to 0 by `POST /reset_counters`. */
export class Counter {
  value = 0;

  /** `amount` ≥ 0. */
  add(amount: number): void {
    this.value += amount;
  }
}

/** Goes up and down. */
export class Gauge {
  value = 0;

  add(amount: number): void {
    this.value += amount;
  }

  set(value: number): void {
    this.value = value;
  }
}

/**
 * Counts by upper bound (inclusive, as Prometheus' `le`). Buckets are kept apart, not cumulative;
 * rendering adds them up, so that an observation touches one slot.
 */
export class Histogram {
  /** Ascending; the bucket `+Inf` is not listed. Shared by all series of a family. */
  readonly bounds: readonly number[];
  /** One slot a bound, the last one is `+Inf`. */
  readonly counts: Float64Array;
  sum = 0;
  readonly #limits: Float64Array;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.#limits = limitsOf(bounds);
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const limits = this.#limits;
    let at = 0;
    while (at < limits.length && value > limits[at]!) at += 1;
    this.counts[at]! += 1;
    this.sum += value;
  }

  /** Observations so far. */
  get count(): number {
    let total = 0;
    for (let at = 0; at < this.counts.length; at += 1) total += this.counts[at]!;
    return total;
  }

  reset(): void {
    this.counts.fill(0);
    this.sum = 0;
  }
}

const limitsOfBounds = new WeakMap<readonly number[], Float64Array>();

/** The same numbers in one shape: lists of bounds are whole numbers or not, frozen or not, and V8 reads each another way. */
function limitsOf(bounds: readonly number[]): Float64Array {
  let limits = limitsOfBounds.get(bounds);
  if (limits === undefined) {
    limits = Float64Array.from(bounds);
    limitsOfBounds.set(bounds, limits);
  }
  return limits;
}
