/** An answer of the API server that is an error: Kubernetes' `Status`. */
export class ApiError extends Error {
  readonly status: number;
  readonly reason: string;
  readonly causes: readonly { readonly field: string; readonly message: string }[];

  constructor(status: number, body: unknown) {
    const said = (body ?? {}) as {
      message?: string;
      reason?: string;
      details?: { causes?: { field: string; message: string }[] };
    };
    super(said.message ?? `the control plane answered ${status}`);
    this.status = status;
    this.reason = said.reason ?? '';
    this.causes = said.details?.causes ?? [];
  }

  /** kubectl's words: `Error from server (NotFound): virtualservices … "x" not found`. */
  get line(): string {
    const reason = this.reason === '' ? '' : ` (${this.reason})`;
    return `Error from server${reason}: ${this.message}`;
  }
}
