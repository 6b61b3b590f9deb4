/** The store cannot be used as it is found. Nothing was changed; the message says what to do. */
export class StoreOpenError extends Error {
  readonly code: StoreOpenErrorCode;
  readonly file: string;

  constructor(
    code: StoreOpenErrorCode,
    file: string,
    problem: string,
    remedy: string,
    cause?: unknown,
  ) {
    super(`store ${file}: ${problem}. ${remedy}`, { cause });
    this.name = 'StoreOpenError';
    this.code = code;
    this.file = file;
  }
}

export type StoreOpenErrorCode =
  | 'STORE_NOT_A_DATABASE'
  | 'STORE_FOREIGN'
  | 'STORE_NEWER'
  | 'STORE_CORRUPT'
  | 'STORE_INCOMPLETE'
  | 'STORE_IN_USE'
  | 'STORE_UNUSABLE';
