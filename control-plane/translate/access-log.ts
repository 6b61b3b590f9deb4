import { packAny } from '../../proto/any.ts';
import type {
  AccessLog,
  DeepPartial,
} from '../../proto/gen/envoy/config/accesslog/v3/accesslog.ts';
import { FileAccessLog } from '../../proto/gen/envoy/extensions/access_loggers/file/v3/file.ts';
import { TYPE_FILE_ACCESS_LOG } from '../../proto/type-urls.ts';
import type { MeshOptions } from '../mesh/mesh-options.ts';

/** OB-07: one field for each name, in this order in a line of text. */
const FIELDS: readonly (readonly [name: string, format: string])[] = [
  ['start_time', '%START_TIME%'],
  ['method', '%REQ(:METHOD)%'],
  ['path', '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%'],
  ['protocol', '%PROTOCOL%'],
  ['response_code', '%RESPONSE_CODE%'],
  ['response_flags', '%RESPONSE_FLAGS%'],
  ['response_code_details', '%RESPONSE_CODE_DETAILS%'],
  ['connection_termination_details', '%CONNECTION_TERMINATION_DETAILS%'],
  ['upstream_transport_failure_reason', '%UPSTREAM_TRANSPORT_FAILURE_REASON%'],
  ['bytes_received', '%BYTES_RECEIVED%'],
  ['bytes_sent', '%BYTES_SENT%'],
  ['duration', '%DURATION%'],
  ['upstream_service_time', '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%'],
  ['x_forwarded_for', '%REQ(X-FORWARDED-FOR)%'],
  ['user_agent', '%REQ(USER-AGENT)%'],
  ['request_id', '%REQ(X-REQUEST-ID)%'],
  ['authority', '%REQ(:AUTHORITY)%'],
  ['upstream_host', '%UPSTREAM_HOST%'],
  ['upstream_cluster', '%UPSTREAM_CLUSTER%'],
  ['upstream_local_address', '%UPSTREAM_LOCAL_ADDRESS%'],
  ['downstream_local_address', '%DOWNSTREAM_LOCAL_ADDRESS%'],
  ['downstream_remote_address', '%DOWNSTREAM_REMOTE_ADDRESS%'],
  ['requested_server_name', '%REQUESTED_SERVER_NAME%'],
  ['route_name', '%ROUTE_NAME%'],
];

const QUOTED: ReadonlySet<string> = new Set([
  'upstream_transport_failure_reason',
  'x_forwarded_for',
  'user_agent',
  'request_id',
  'authority',
  'upstream_host',
]);

/** The mesh-wide access log; none where the mesh asks for none. */
export function accessLogs(options: MeshOptions): DeepPartial<AccessLog>[] {
  if (options.accessLogFile === '') return [];
  return [
    {
      name: 'envoy.access_loggers.file',
      configType: {
        $case: 'typedConfig',
        value: packAny(
          TYPE_FILE_ACCESS_LOG,
          FileAccessLog.create({
            path: options.accessLogFile,
            accessLogFormat: {
              $case: 'logFormat',
              value: {
                format:
                  options.accessLogEncoding === 'JSON'
                    ? { $case: 'jsonFormat', value: Object.fromEntries(FIELDS) }
                    : {
                        $case: 'textFormatSource',
                        value: { specifier: { $case: 'inlineString', value: textLine() } },
                      },
              },
            },
          }),
        ),
      },
    },
  ];
}

/** Istio's line: time in brackets, the request line in quotes, then the rest. */
function textLine(): string {
  const formats = new Map(FIELDS);
  const parts = [
    `[${formats.get('start_time')}]`,
    `"${formats.get('method')} ${formats.get('path')} ${formats.get('protocol')}"`,
  ];
  for (const [name, format] of FIELDS.slice(4))
    parts.push(QUOTED.has(name) ? `"${format}"` : format);
  return `${parts.join(' ')}\n`;
}
