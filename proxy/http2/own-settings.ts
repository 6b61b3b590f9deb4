import type { Http2Events } from './connection-options.ts';
import type { ControlWriter } from './control-writer.ts';

/** Our SETTINGS frames, and whether the peer has acknowledged them (RFC 9113 §6.5.3). */
export class OwnSettings {
  readonly #control: ControlWriter;
  readonly #events: Http2Events;
  #unacked = 0;

  constructor(control: ControlWriter, events: Http2Events) {
    this.#control = control;
    this.#events = events;
  }

  /** What was announced last need not be known to the peer yet. */
  get pending(): boolean {
    return this.#unacked > 0;
  }

  write(parameters: readonly number[]): void {
    this.#control.settings(parameters);
    if (this.#unacked++ === 0) this.#events.onSettingsPending(true);
  }

  onAck(): void {
    if (this.#unacked > 0 && --this.#unacked === 0) this.#events.onSettingsPending(false);
  }
}
