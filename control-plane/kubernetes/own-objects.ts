/**
 * What an installation in a cluster is made of, by name: `deploy/manifests/` writes these objects, the control plane and
 * the command line look for them.
 */

/** Namespace of the control plane where nobody chose another. */
export const SYSTEM_NAMESPACE = 'weft-system';
/** Deployment, Service and service account of the control plane, and the owner of the fields that it writes. */
export const CONTROL_PLANE = 'weft-control-plane';
/** ConfigMap with the mesh's roots, in every namespace. */
export const ROOT_CONFIG_MAP = 'weft-ca-root-cert';
/** Secret with the authority's key. */
export const AUTHORITY_SECRET = 'weft-ca';
/** Lease by which one replica leads. */
export const LEADER_LEASE = 'weft-leader';
/** Webhook configurations with this label get the mesh's roots as `caBundle`. */
export const CA_BUNDLE_LABEL = 'weft.dev/inject-ca-bundle';
/** Whom a token is meant for by which a workload shows who it is: join tokens and projected ones. */
export const TOKEN_AUDIENCE = 'weft-ca';

/** xDS and certificates over TLS. */
export const PORT_XDS = 15_012;
export const PORT_MONITORING = 15_014;
export const PORT_WEBHOOKS = 15_017;
