import type { FieldKind } from './field-kind.ts';

/** What an entry counts beyond its name and value (RFC 7541 §4.1). */
export const ENTRY_OVERHEAD_BYTES = 32;

/**
 * The decoder's dynamic table (RFC 7541 §2.3.2): a ring, the newest entry last. An entry keeps what
 * was found out about its name and value, so that an indexed field is never judged again.
 *
 *   evicted ◀─┤ oldest … newest ├─◀ insert          age 0 is the newest
 */
export class DynamicTable {
  readonly #capacity: number;
  #names: string[] = [];
  #values: string[] = [];
  readonly #kinds: Uint8Array;
  readonly #sizes: Int32Array;
  /** Slot of the next entry. */
  #next = 0;
  count = 0;
  sizeBytes = 0;
  maxBytes: number;

  /** `limitBytes`: what our SETTINGS allow; `maxBytes` never exceeds it. */
  constructor(limitBytes: number) {
    this.maxBytes = limitBytes;
    this.#capacity = Math.max(1, Math.floor(limitBytes / ENTRY_OVERHEAD_BYTES));
    this.#kinds = new Uint8Array(this.#capacity);
    this.#sizes = new Int32Array(this.#capacity);
  }

  name(age: number): string {
    return this.#names[this.#slot(age)]!;
  }
  value(age: number): string {
    return this.#values[this.#slot(age)]!;
  }
  kind(age: number): FieldKind {
    return this.#kinds[this.#slot(age)]! as FieldKind;
  }

  /** An entry larger than the table empties it and is not kept (RFC 7541 §4.4). */
  insert(name: string, value: string, kind: FieldKind): void {
    const bytes = name.length + value.length + ENTRY_OVERHEAD_BYTES;
    this.#evictTo(this.maxBytes - bytes);
    if (bytes > this.maxBytes) return;
    const slot = this.#next;
    this.#names[slot] = name;
    this.#values[slot] = value;
    this.#kinds[slot] = kind;
    this.#sizes[slot] = bytes;
    this.#next = slot + 1 === this.#capacity ? 0 : slot + 1;
    this.count++;
    this.sizeBytes += bytes;
  }

  /** Makes room for an entry of `bytes` that will not be stored. */
  clear(): void {
    this.#evictTo(-1);
    this.#names = [];
    this.#values = [];
  }

  resize(maxBytes: number): void {
    this.maxBytes = maxBytes;
    this.#evictTo(maxBytes);
  }

  #evictTo(bytes: number): void {
    while (this.count > 0 && this.sizeBytes > bytes) {
      const slot = this.#slot(this.count - 1);
      this.sizeBytes -= this.#sizes[slot]!;
      this.#names[slot] = '';
      this.#values[slot] = '';
      this.count--;
    }
  }

  #slot(age: number): number {
    const slot = this.#next - 1 - age;
    return slot < 0 ? slot + this.#capacity : slot;
  }
}
