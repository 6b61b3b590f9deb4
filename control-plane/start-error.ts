/** Something that an operator has to put right before the control plane can start. */
export class StartError extends Error {
  readonly code = 'WEFT_START';
}
