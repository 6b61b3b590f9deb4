import type { Spread } from '../statistics.ts';

/** Three significant digits, or all of those before the point: 0.0123, 1.05, 17.4, 1234. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const magnitude = Math.abs(value);
  if (magnitude >= 100 || value === 0) return value.toFixed(0);
  const decimals = Math.min(4, 2 - Math.floor(Math.log10(magnitude)));
  return value.toFixed(Math.max(0, decimals));
}

/** `1.05 (1.01–1.10)`; of one round the value alone. */
export function spreadText({ median, min, max }: Spread): string {
  if (min === max) return numberText(median);
  return `${numberText(median)} (${numberText(min)}–${numberText(max)})`;
}
