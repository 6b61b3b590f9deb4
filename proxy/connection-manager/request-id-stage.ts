import { headerValue, setOwnHeader } from '../http/header-block.ts';
import type { ConnectionManagerConfig } from './connection-manager-config.ts';
import { newRequestId, sampledByRequestId, withSampling } from './request-id.ts';
import { type RequestStage, StageResult } from './request-stage.ts';
import {
  beginSpan,
  newTraceContext,
  readTraceContext,
  writeTraceContext,
} from './trace-context.ts';

const MILLION = 1_000_000;

/**
 * `x-request-id` and trace context (OB-10). An id from inside the mesh is kept, one from outside
 * replaced at the edge unless the listener says otherwise. The caller's sampling decision stands
 * (in the trace fields, else in the request id); a request without one is drawn for. Where tracing
 * is off the trace fields of the app pass as they are, malformed ones excepted.
 */
export function identifyRequest(config: ConnectionManagerConfig): RequestStage {
  const replaces = config.useRemoteAddress && !config.preserveExternalRequestId;
  const traces = config.tracingSamplingPerMillion >= 0;
  // One request is read at a time, and nothing of the context outlives the call.
  const context = newTraceContext();
  return {
    name: 'request id',
    begin(stream) {
      const { headers } = stream.head;
      const { record } = stream;
      let id = replaces ? '' : headerValue(headers, 'x-request-id');
      const received = id;
      if (id === '' && config.generateRequestId) id = newRequestId();

      context.traceId = '';
      context.spanId = '';
      context.parentSpanId = '';
      context.sampled = -1;
      context.formats = 0;
      readTraceContext(headers, context);
      let sampled = context.sampled === 1;
      if (traces) {
        if (context.sampled < 0) {
          const decided = received === '' ? null : sampledByRequestId(received);
          // Digit 4 is also what any UUIDv4 has there: only "yes" is a decision.
          sampled =
            decided === true || stream.random() * MILLION < config.tracingSamplingPerMillion;
        }
        beginSpan(context, sampled);
        writeTraceContext(headers, context, sampled);
        id = withSampling(id, sampled);
      }
      if (id !== '' && id !== received) setOwnHeader(headers, 'x-request-id', id);
      record.requestId = id;
      record.traceId = context.traceId;
      record.spanId = context.spanId;
      record.parentSpanId = context.parentSpanId;
      record.sampled = sampled;
      return StageResult.Continue;
    },
  };
}
