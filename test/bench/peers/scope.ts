/** What was started and must end: closed in the reverse order, once, whatever happened in between. */
export class Scope {
  readonly #endings: (() => unknown)[] = [];

  /** `end` is called by `close`; its value is awaited. */
  defer(end: () => unknown): void {
    this.#endings.push(end);
  }

  /** @throws {AggregateError} after everything was tried. */
  async close(): Promise<void> {
    const errors: unknown[] = [];
    for (let end = this.#endings.pop(); end !== undefined; end = this.#endings.pop()) {
      try {
        await end();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, 'not everything could be ended');
  }
}
