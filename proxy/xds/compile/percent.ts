import type { RuntimeFractionalPercent } from '../../../proto/gen/envoy/config/core/v3/base.ts';
import type { FractionalPercent, Percent } from '../../../proto/gen/envoy/type/v3/percent.ts';
import type { MessageReader } from './message-reader.ts';

/** A certain event: percentages are numerators of a million everywhere in the proxy. */
export const MILLION = 1_000_000;

/** By the number of `FractionalPercent.DenominatorType`. */
const PER_MILLION_OF = [10_000, 100, 1];

/** `envoy.type.v3.FractionalPercent` as a numerator of a million; more than all counts as all. */
export function compileFraction(reader: MessageReader<FractionalPercent>): number {
  const numerator = reader.take('numerator');
  const factor = PER_MILLION_OF[reader.take('denominator')];
  if (factor === undefined) {
    reader.problem('denominator', 'use one of HUNDRED, TEN_THOUSAND, MILLION');
    return 0;
  }
  return Math.min(numerator * factor, MILLION);
}

/** The default value of `envoy.config.core.v3.RuntimeFractionalPercent`; there is no runtime. */
export function compileRuntimeFraction(
  reader: MessageReader<RuntimeFractionalPercent> | undefined,
  fallback: number,
): number {
  const value = reader?.child('defaultValue');
  return value === undefined ? fallback : compileFraction(value);
}

/** `envoy.type.v3.Percent` (0 to 100, fractions allowed) as a numerator of a million. */
export function compilePercent(
  reader: MessageReader<Percent> | undefined,
  fallback: number,
): number {
  if (reader === undefined) return fallback;
  const value = reader.take('value');
  if (!(value >= 0 && value <= 100)) {
    reader.problem('value', `must lie between 0 and 100, is ${value}`);
    return fallback;
  }
  return Math.round(value * 10_000);
}
