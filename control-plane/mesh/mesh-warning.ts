/** Something in the policies that cannot have been meant; nothing is refused because of it. */
export interface MeshWarning {
  /** Istio's analysis code where it has one (CL-01). */
  readonly code: 'IST0101' | 'IST0109' | 'IST0173' | 'IST0174' | 'WEFT0001';
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly message: string;
}
