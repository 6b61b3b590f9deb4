/** Fewer names cost less than to look for a set of the same. */
const SHARED_NAMES_MIN = 16;
/** Sets of one size that are kept to compare with; the oldest makes room. */
const SETS_PER_SIZE = 8;
/** Sizes that are kept; all are forgotten when there are more, and sets are shared anew. */
const SIZES_MAX = 4096;

const bySize = new Map<number, WeakRef<ReadonlySet<string>>[]>();

/**
 * The set of the same names that other streams have, else `names` for those that come: the sidecars of a mesh ask for
 * the same thousand names. Not to be changed from now on. Null: too few to share.
 */
export function sharedNames(names: ReadonlySet<string>): ReadonlySet<string> | null {
  if (names.size < SHARED_NAMES_MIN) return null;
  let sets = bySize.get(names.size);
  if (sets === undefined) {
    if (bySize.size >= SIZES_MAX) bySize.clear();
    sets = [];
    bySize.set(names.size, sets);
  }
  for (const reference of sets) {
    const set = reference.deref();
    if (set === names || (set !== undefined && isSame(set, names))) return set;
  }
  const dead = sets.findIndex((reference) => reference.deref() === undefined);
  if (dead >= 0) sets.splice(dead, 1);
  else if (sets.length >= SETS_PER_SIZE) sets.shift();
  sets.push(new WeakRef(names));
  return names;
}

/** Of two sets of one size. */
function isSame(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  for (const name of b) if (!a.has(name)) return false;
  return true;
}
