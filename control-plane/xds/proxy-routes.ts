import { writeJson } from '../../proto/json.ts';
import { messageNameOf } from '../../proto/type-urls.ts';
import { type ApiReply, type ApiRequest, type ApiRoutes, json } from '../api/api-routes.ts';
import { failure } from '../api/status.ts';
import type { Session } from './discovery-session.ts';
import { proxyStatus } from './proxy-status.ts';
import { PUSH_ORDER, shortTypeName, typeUrlOf } from './push-order.ts';

export interface ProxyRoutesOptions {
  readonly sessions: () => readonly Session[];
  /** Name of this control plane, for the column of `proxy-status`. */
  readonly controlPlane: string;
}

/** `GET /weft/v1/proxies` and `GET /weft/v1/proxies/<id>/config?type=CDS`. */
export function addProxyRoutes(routes: ApiRoutes, options: ProxyRoutesOptions): void {
  routes.add('GET', '/weft/v1/proxies', () =>
    json(200, {
      items: newestByProxy(options.sessions())
        .map((session) => proxyStatus(session, options.controlPlane))
        .filter((status) => status !== null)
        .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)),
    }),
  );
  routes.add('GET', '/weft/v1/proxies/:id/config', (request) => sentConfig(request, options));
}

/** A proxy that comes back may be here before its old stream is known to be dead: the newest counts. */
function newestByProxy(sessions: readonly Session[]): Session[] {
  const newest = new Map<string, Session>();
  for (const session of sessions) newest.set(session.view?.id ?? '', session);
  return [...newest.values()];
}

/** What a proxy was sent: names and versions that it holds, with the resource as it is translated now. */
function sentConfig({ params, query }: ApiRequest, { sessions }: ProxyRoutesOptions): ApiReply {
  const id = params.get('id')!;
  const session = newestByProxy(sessions()).find(({ view }) => view?.id === id);
  if (session === undefined) return failure('NotFound', `no proxy ${id} is connected`);
  const wanted = query.get('type');
  const only = wanted === null ? undefined : typeUrlOf(wanted);
  if (wanted !== null && only === undefined) {
    const known = PUSH_ORDER.map(shortTypeName).join(', ');
    return failure('BadRequest', `type "${wanted}" is none of ${known}`);
  }
  const types = [...session.subscriptions.values()].filter(
    ({ typeUrl }) => only === undefined || typeUrl === only,
  );
  return json(200, {
    items: types.map(({ typeUrl, held, delivery }) => ({
      type: shortTypeName(typeUrl),
      typeUrl,
      error: delivery.error,
      resources: [...held].map(([name, heldVersion]) => {
        const resource = session.resources?.of(typeUrl).get(name);
        return {
          name,
          heldVersion,
          version: resource?.version ?? null,
          resource:
            resource === undefined
              ? null
              : writeJson(messageNameOf(typeUrl) as never, resource.message as never),
        };
      }),
    })),
  });
}
