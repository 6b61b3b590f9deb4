import type { MeshClient } from './mesh-client.ts';

/** What happened to the load since a mark. */
export interface LoadResult {
  readonly sent: number;
  readonly failed: number;
  /** The first few failures, each `status body` or the error. */
  readonly failures: readonly string[];
}

/** Requests at a steady rate with a bounded number under way; every outcome is counted. */
export class SteadyLoad {
  readonly #client: MeshClient;
  readonly #urls: readonly string[];
  readonly #atOnceMax: number;
  readonly #timer: NodeJS.Timeout;
  readonly #underWay = new Set<Promise<void>>();
  readonly #failures: string[] = [];
  #sent = 0;
  #failed = 0;

  constructor(client: MeshClient, urls: readonly string[], perSecond: number, atOnceMax: number) {
    this.#client = client;
    this.#urls = urls;
    this.#atOnceMax = atOnceMax;
    this.#timer = setInterval(() => this.#send(), 1000 / perSecond);
  }

  get atOnceMax(): number {
    return this.#atOnceMax;
  }

  get sent(): number {
    return this.#sent;
  }

  mark(): LoadResult {
    return { sent: this.#sent, failed: this.#failed, failures: [...this.#failures] };
  }

  since(mark: LoadResult): LoadResult {
    return {
      sent: this.#sent - mark.sent,
      failed: this.#failed - mark.failed,
      failures: this.#failures.slice(mark.failures.length),
    };
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #send(): void {
    if (this.#underWay.size >= this.#atOnceMax) return;
    const url = this.#urls[this.#sent % this.#urls.length]!;
    this.#sent += 1;
    const exchange = this.#client.get(url).then(({ status, body, error }) => {
      this.#underWay.delete(exchange);
      if (status === 200) return;
      this.#failed += 1;
      if (this.#failures.length < FAILURES_KEPT_MAX) {
        this.#failures.push(error === '' ? `${status} ${body.slice(0, 80)}` : error);
      }
    });
    this.#underWay.add(exchange);
  }
}

const FAILURES_KEPT_MAX = 1000;
