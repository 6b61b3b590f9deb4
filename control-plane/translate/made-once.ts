/** What was made under which rule; `stamp` says that. */
interface Made<R> {
  readonly stamp: string;
  readonly value: R;
}

/**
 * What was made from objects that a snapshot hands on while nothing of them changed (a service, a list of endpoints),
 * for as long as these very objects live: so a change costs what it touches.
 */
export class MadeOnce<O extends object, R> {
  readonly #byOwner = new WeakMap<O, Map<string, Made<R>>>();

  get(owner: O, key: string, stamp: string, make: () => R): R {
    let ofOwner = this.#byOwner.get(owner);
    if (ofOwner === undefined) {
      ofOwner = new Map();
      this.#byOwner.set(owner, ofOwner);
    }
    const there = ofOwner.get(key);
    if (there !== undefined && there.stamp === stamp) return there.value;
    const value = make();
    ofOwner.set(key, { stamp, value });
    return value;
  }
}
