import { LayeredResources } from '../translate/layered-resources.ts';
import type { Resources } from './subscription.ts';

/** By the later map, then by the earlier: kept while both live. */
const known = new WeakMap<Resources, WeakMap<Resources, readonly string[]>>();

/**
 * Names that stand in one of two maps only, or with another version: those of `to` in its order, then those that are
 * gone. Compared once for all streams that hold the one and should hold the other.
 */
export function changedNames(from: Resources, to: Resources): readonly string[] {
  if (from === to) return NONE;
  let earlier = known.get(to);
  if (earlier === undefined) {
    earlier = new WeakMap();
    known.set(to, earlier);
  }
  let names = earlier.get(from);
  if (names === undefined) {
    names = compared(from, to);
    earlier.set(from, names);
  }
  return names;
}

function compared(from: Resources, to: Resources): readonly string[] {
  if (from instanceof LayeredResources && to instanceof LayeredResources) {
    // What many proxies have in common was compared for one of them.
    const perhaps = new Set([
      ...changedNames(from.common, to.common),
      ...to.own.keys(),
      ...from.own.keys(),
    ]);
    return [...perhaps].filter((name) => from.get(name)?.version !== to.get(name)?.version);
  }
  const names: string[] = [];
  for (const [name, resource] of to) {
    const before = from.get(name);
    if (before !== resource && before?.version !== resource.version) names.push(name);
  }
  for (const name of from.keys()) if (!to.has(name)) names.push(name);
  return names;
}

const NONE: readonly string[] = [];
