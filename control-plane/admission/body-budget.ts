/** Bytes of unread reviews that all callers may have standing here together. */
const TOTAL_BYTES_MAX = 96 * 1024 * 1024;
/** And those of one address: a stranger's slow uploads leave room for the API server's. */
const PEER_BYTES_MAX = 24 * 1024 * 1024;

/** Bounds the memory of bodies that are still coming in, in all and for each address. */
export class BodyBudget {
  #bytes = 0;
  readonly #byPeer = new Map<string, number>();
  readonly #totalMax: number;
  readonly #peerMax: number;

  constructor(totalMax = TOTAL_BYTES_MAX, peerMax = PEER_BYTES_MAX) {
    this.#totalMax = totalMax;
    this.#peerMax = peerMax;
  }

  /** One body's share; `release` it when the body is read or given up. */
  open(peer: string): BodyShare {
    let held = 0;
    return {
      take: (bytes) => {
        const ofPeer = this.#byPeer.get(peer) ?? 0;
        if (this.#bytes + bytes > this.#totalMax || ofPeer + bytes > this.#peerMax) return false;
        held += bytes;
        this.#bytes += bytes;
        this.#byPeer.set(peer, ofPeer + bytes);
        return true;
      },
      release: () => {
        const left = (this.#byPeer.get(peer) ?? 0) - held;
        this.#bytes -= held;
        held = 0;
        if (left > 0) this.#byPeer.set(peer, left);
        else this.#byPeer.delete(peer);
      },
    };
  }
}

export interface BodyShare {
  /** False: there is no room, and nothing was taken. */
  take(bytes: number): boolean;
  release(): void;
}
