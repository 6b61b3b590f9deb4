/**
 * Which resources a client refused. A refusal names no resource but in its text, and a good client applies the others
 * (rule 6): the names that occur in the text are taken as refused. Where none occurs it may be any of the response, and
 * the refusal stands until one of them is accepted in a newer form.
 */
export class Refusals {
  readonly #names = new Set<string>();
  #isGuess = false;
  #text = '';

  /** The latest refusal's text while a refused resource stands, else ''. */
  get text(): string {
    return this.#text;
  }

  /** Some resource is refused. */
  get stand(): boolean {
    return this.#names.size > 0;
  }

  refused(sent: readonly string[], text: string): void {
    const named = sent.filter((name) => text.includes(name));
    this.#isGuess = named.length === 0;
    for (const name of sent) this.#names.delete(name);
    for (const name of this.#isGuess ? sent : named) this.#names.add(name);
    this.#text = text;
  }

  /** These were accepted in a newer form, or are gone. */
  accepted(names: readonly string[]): void {
    let found = false;
    for (const name of names) found = this.#names.delete(name) || found;
    if (found && this.#isGuess) this.#names.clear();
    if (this.#names.size === 0) this.#text = '';
  }
}
