import type {
  AdminSource,
  CertificateStatus,
  ClusterStatus,
  JsonObject,
  ListenerStatus,
  Readiness,
  ServerState,
} from './admin-source.ts';

/** A source whose answers a test sets; the actions it was asked for stand in `actions`. */
export class ScriptedAdminSource implements AdminSource {
  serverState: ServerState = 'LIVE';
  isReady: Readiness = { ready: true, reason: '' };
  sections: JsonObject[] = [];
  clusterStatuses: ClusterStatus[] = [];
  listenerStatuses: ListenerStatus[] = [];
  certificateStatuses: CertificateStatus[] = [];
  readonly actions: string[] = [];

  state(): ServerState {
    return this.serverState;
  }
  readiness(): Readiness {
    return this.isReady;
  }
  serverInfo() {
    return { version: '0.1.0', uptimeMs: 12_345, node: { id: 'sidecar~a' }, configPath: '/b.yaml' };
  }
  configDump({ includeEndpoints }: { readonly includeEndpoints: boolean }): JsonObject[] {
    return this.sections.filter(
      (section) => includeEndpoints || !String(section['@type']).includes('Endpoints'),
    );
  }
  clusters(): ClusterStatus[] {
    return this.clusterStatuses;
  }
  listeners(): ListenerStatus[] {
    return this.listenerStatuses;
  }
  certificates(): CertificateStatus[] {
    return this.certificateStatuses;
  }
  drainListeners(options: { readonly graceful: boolean; readonly inboundOnly: boolean }): void {
    this.actions.push(`drain ${JSON.stringify(options)}`);
  }
  setHealthCheck(passing: boolean): void {
    this.actions.push(`healthcheck ${passing}`);
  }
  reopenLogs(): void {
    this.actions.push('reopen');
  }
  quit(): void {
    this.actions.push('quit');
  }
}
