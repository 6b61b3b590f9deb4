import type { Session } from './discovery-session.ts';
import { pushRank, shortTypeName } from './push-order.ts';
import type { Pending, Resources, Subscription } from './subscription.ts';

/** One connected proxy as `GET /weft/v1/proxies` shows it and `weft proxy-status` prints it (CL-02). */
export interface ProxyStatus {
  /** `node.id`. */
  readonly id: string;
  /** `<workload>.<namespace>`. */
  readonly name: string;
  readonly cluster: string;
  readonly controlPlane: string;
  readonly version: string;
  /** RFC 3339. */
  readonly connectedSince: string;
  /** `host:port` of its admin endpoint, or ''. */
  readonly adminAddress: string;
  readonly types: readonly ProxyTypeStatus[];
}

export interface ProxyTypeStatus {
  /** `CDS`, `EDS`, `LDS`, `RDS`, … */
  readonly type: string;
  readonly status: 'SYNCED' | 'NOT SENT' | 'STALE' | 'ERROR';
  /** The refusal's text, or ''. */
  readonly error: string;
  readonly resources: number;
}

/** Null for a stream that has not said who it is. */
export function proxyStatus(session: Session, controlPlane: string): ProxyStatus | null {
  const { view, node } = session;
  if (view === null || node === null) return null;
  const admin = node.metadata?.['WEFT_ADMIN'];
  return {
    id: view.id,
    name: `${view.workload}.${view.namespace}`,
    cluster: view.clusterId,
    controlPlane,
    version: proxyVersion(node),
    connectedSince: new Date(session.connectedSinceMs).toISOString(),
    adminAddress: typeof admin === 'string' ? admin : '',
    types: [...session.subscriptions.values()]
      .sort((a, b) => pushRank(a.typeUrl) - pushRank(b.typeUrl))
      .map((subscription) => typeStatus(subscription, session)),
  };
}

function typeStatus(
  subscription: Subscription<never, unknown>,
  { resources }: Session,
): ProxyTypeStatus {
  const { delivery, held, typeUrl } = subscription;
  return {
    type: shortTypeName(typeUrl),
    status: statusOf(subscription, resources?.of(typeUrl)),
    error: delivery.error,
    resources: held.size,
  };
}

function statusOf(
  subscription: Subscription<never, unknown>,
  resources: Resources | undefined,
): ProxyTypeStatus['status'] {
  const { delivery, held } = subscription;
  if (delivery.error !== '') return 'ERROR';
  const pending: Pending = resources === undefined ? NOTHING : subscription.pending(resources);
  if (delivery.isOutstanding || pending.changes) {
    return delivery.sentCount === 0 && held.size === 0 ? 'NOT SENT' : 'STALE';
  }
  return delivery.sentCount === 0 && held.size === 0 ? 'NOT SENT' : 'SYNCED';
}

const NOTHING: Pending = { changes: false, removals: false };

function proxyVersion(node: NonNullable<Session['node']>): string {
  const version = node.userAgentVersionType;
  if (version?.$case === 'userAgentVersion') return version.value;
  if (version?.$case === 'userAgentBuildVersion') {
    const { majorNumber, minorNumber, patch } = version.value.version ?? {
      majorNumber: 0,
      minorNumber: 0,
      patch: 0,
    };
    return `${majorNumber}.${minorNumber}.${patch}`;
  }
  return '';
}
