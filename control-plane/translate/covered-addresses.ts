import { BlockList, isIPv4 } from 'node:net';

/** Those of `addresses` that one of `ranges` (CIDR, both families) holds. Time for n of both: n log n. */
export function coveredAddresses(
  addresses: readonly string[],
  ranges: readonly string[],
): readonly string[] {
  if (ranges.length === 0 || addresses.length === 0) return [];
  const v4 = merged(ranges.filter((range) => isIPv4(range.split('/')[0]!)).map(interval));
  const v6 = new BlockList();
  for (const range of ranges) {
    const [address = '', bits] = range.split('/');
    if (!isIPv4(address)) v6.addSubnet(address, Number(bits), 'ipv6');
  }
  return addresses.filter((address) =>
    isIPv4(address) ? isWithin(numberOf(address), v4) : v6.check(address, 'ipv6'),
  );
}

interface Interval {
  readonly first: number;
  readonly last: number;
}

function interval(range: string): Interval {
  const [address = '', bits] = range.split('/');
  const size = 2 ** (32 - Number(bits));
  const first = Math.floor(numberOf(address) / size) * size;
  return { first, last: first + size - 1 };
}

function numberOf(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

/** Without overlaps, in order. */
function merged(intervals: readonly Interval[]): readonly Interval[] {
  const done: Interval[] = [];
  for (const next of [...intervals].sort((a, b) => a.first - b.first)) {
    const before = done.at(-1);
    if (before === undefined || next.first > before.last) done.push(next);
    else if (next.last > before.last) done[done.length - 1] = { ...before, last: next.last };
  }
  return done;
}

function isWithin(number: number, intervals: readonly Interval[]): boolean {
  let low = 0;
  let high = intervals.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (intervals[middle]!.last < number) low = middle + 1;
    else high = middle;
  }
  const found = intervals[low];
  return found !== undefined && found.first <= number;
}
