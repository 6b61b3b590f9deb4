import { describe, expect, test } from 'vitest';
import { type MessageName, unpackAs } from './any.ts';
import { Listener_DrainType } from './gen/envoy/config/listener/v3/listener.ts';
import { formatProblem, PROBLEMS_MAX, readJson, VALUES_MAX } from './json-reader.ts';
import { TYPE_HTTP_CONNECTION_MANAGER, TYPE_ROUTER } from './type-urls.ts';

const BOOTSTRAP = 'envoy.config.bootstrap.v3.Bootstrap';
const CLUSTER = 'envoy.config.cluster.v3.Cluster';
const LISTENER = 'envoy.config.listener.v3.Listener';
const NODE = 'envoy.config.core.v3.Node';

function problems(name: MessageName, value: unknown): string[] {
  return readJson(name, value).problems.map(formatProblem);
}

describe('values', () => {
  test('snake_case and camelCase name the same field', () => {
    const snake = readJson(CLUSTER, { name: 'a', connect_timeout: '1.5s' });
    const camel = readJson(CLUSTER, { name: 'a', connectTimeout: '1.5s' });
    expect(snake.problems).toEqual([]);
    expect(snake).toEqual(camel);
    expect(snake.message.connectTimeout).toEqual({ seconds: 1, nanos: 500_000_000 });
  });

  test('oneofs, wrappers, enums by name and by number, maps', () => {
    const { message, problems } = readJson(LISTENER, {
      address: { socket_address: { address: '127.0.0.1', port_value: '8080' } },
      bind_to_port: false,
      drain_type: 'MODIFY_ONLY',
      traffic_direction: 2,
      metadata: { filter_metadata: { 'envoy.lb': { canary: true, weights: [1, null, 'x'] } } },
    });
    expect(problems).toEqual([]);
    const address = message.address?.address;
    expect(address?.$case === 'socketAddress' && address.value.portSpecifier).toEqual({
      $case: 'portValue',
      value: 8080,
    });
    expect(message.bindToPort).toBe(false);
    expect(message.transparent).toBeUndefined();
    expect(message.drainType).toBe(Listener_DrainType.MODIFY_ONLY);
    expect(message.trafficDirection).toBe(2);
    expect(message.metadata?.filterMetadata.get('envoy.lb')).toEqual({
      canary: true,
      weights: [1, null, 'x'],
    });
  });

  test('an Any is the message that @type names, packed', () => {
    const { message, problems } = readJson(LISTENER, {
      filter_chains: [
        {
          filters: [
            {
              name: 'hcm',
              typed_config: {
                '@type': TYPE_HTTP_CONNECTION_MANAGER,
                stat_prefix: 'in',
                http_filters: [{ name: 'r', typed_config: { '@type': TYPE_ROUTER } }],
              },
            },
          ],
        },
      ],
    });
    expect(problems).toEqual([]);
    const config = message.filterChains[0]?.filters[0]?.configType;
    if (config?.$case !== 'typedConfig') throw new Error('no typed_config');
    const manager = unpackAs(
      'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
      config.value,
    );
    expect(manager.ok && manager.message.statPrefix).toBe('in');
    expect(manager.ok && manager.message.httpFilters[0]?.configType?.$case).toBe('typedConfig');
  });

  test('a well-known type in an Any stands under "value"', () => {
    const url = 'type.googleapis.com/google.protobuf.UInt32Value';
    const { message, problems } = readJson('envoy.config.core.v3.TypedExtensionConfig', {
      name: 'n',
      typed_config: { '@type': url, value: 7 },
    });
    expect(problems).toEqual([]);
    const value = unpackAs('google.protobuf.UInt32Value', message.typedConfig!);
    expect(value).toMatchObject({ ok: true, message: { value: 7 } });
  });

  test('null leaves a field unset', () => {
    const { message, problems } = readJson(CLUSTER, { name: null, connect_timeout: null });
    expect(problems).toEqual([]);
    expect(message.connectTimeout).toBeUndefined();
  });

  test('__proto__ is a key like any other', () => {
    const foreign = JSON.parse('{"metadata": {"__proto__": {"x": 1}, "y": 2}, "id": "a"}');
    const { message } = readJson(NODE, foreign);
    expect(Object.keys(message.metadata!)).toEqual(['__proto__', 'y']);
    expect(Object.getPrototypeOf(message.metadata)).toBeNull();
  });

  test('__proto__ is no field of a message', () => {
    expect(problems(NODE, JSON.parse('{"__proto__": 1}'))).toEqual([
      expect.stringMatching(/^__proto__: unknown field/),
    ]);
  });
});

describe('problems', () => {
  const rows: readonly (readonly [string, MessageName, unknown, string])[] = [
    ['misspelt field', LISTENER, { adress: {} }, 'adress: unknown field; did you mean "address"?'],
    [
      'misspelt in camelCase',
      CLUSTER,
      { conectTimeout: '1s' },
      'conectTimeout: unknown field; did you mean "connectTimeout"?',
    ],
    [
      'field Weft does not carry',
      BOOTSTRAP,
      { layered_runtime: {} },
      'layered_runtime: this field of the Envoy API is not supported by Weft',
    ],
    [
      'the same in camelCase',
      BOOTSTRAP,
      { layeredRuntime: {} },
      'layeredRuntime: this field of the Envoy API is not supported by Weft',
    ],
    [
      'nothing near',
      'envoy.config.core.v3.Locality',
      { qqqqqq: 1 },
      'qqqqqq: unknown field; envoy.config.core.v3.Locality has region, zone, sub_zone',
    ],
    [
      'field set twice',
      CLUSTER,
      { alt_stat_name: 'a', altStatName: 'b' },
      'altStatName: the same field as "alt_stat_name", which is set too',
    ],
    [
      'oneof set twice',
      'envoy.config.core.v3.DataSource',
      { filename: 'a', inline_string: 'b' },
      'inline_string: only one of "filename" and "inline_string" may be set',
    ],
    ['no object', LISTENER, [], 'expected an object, got a list'],
    [
      'no list',
      BOOTSTRAP,
      { static_resources: { listeners: {} } },
      'static_resources.listeners: expected a list, got an object',
    ],
    [
      'null in a list',
      BOOTSTRAP,
      { static_resources: { listeners: [null] } },
      'static_resources.listeners[0]: expected an object, got null',
    ],
    [
      'number for a string',
      CLUSTER,
      { name: 80 },
      'name: expected a string, got 80 (put it in quotes)',
    ],
    [
      'text for a bool',
      LISTENER,
      { bind_to_port: 'yes' },
      'bind_to_port: expected true or false, got "yes"',
    ],
    [
      'fraction for an integer',
      LISTENER,
      { tcp_backlog_size: 1.5 },
      'tcp_backlog_size: expected a whole number, got 1.5',
    ],
    [
      'below the range',
      LISTENER,
      { tcp_backlog_size: -1 },
      'tcp_backlog_size: -1 is out of range: 0 to 4294967295',
    ],
    [
      'above the range',
      LISTENER,
      { tcp_backlog_size: '4294967296' },
      'tcp_backlog_size: 4294967296 is out of range: 0 to 4294967295',
    ],
    [
      'past 2^53',
      'google.protobuf.Int64Value',
      '9007199254740993',
      '9007199254740993 is out of range: -9007199254740991 to 9007199254740991',
    ],
    [
      'duration without a unit',
      CLUSTER,
      { connect_timeout: '5' },
      'connect_timeout: expected a duration in seconds such as "1.5s", got "5"',
    ],
    [
      'duration in ms',
      CLUSTER,
      { connect_timeout: '50ms' },
      'connect_timeout: expected a duration in seconds such as "1.5s", got "50ms"',
    ],
    [
      'enum misspelt',
      CLUSTER,
      { type: 'STRICT_DSN' },
      'type: unknown value "STRICT_DSN"; did you mean STRICT_DNS?',
    ],
    [
      'enum in lower case',
      CLUSTER,
      { type: 'eds' },
      'type: unknown value "eds"; did you mean EDS?',
    ],
    [
      'enum number unknown',
      LISTENER,
      { drain_type: 9 },
      'drain_type: unknown value 9; expected one of DEFAULT, MODIFY_ONLY',
    ],
    [
      'no base64',
      'envoy.config.core.v3.DataSource',
      { inline_bytes: 'a*b' },
      'inline_bytes: the text is not base64',
    ],
    [
      'lone surrogate',
      CLUSTER,
      { name: '\ud800' },
      'name: the string holds half of a surrogate pair',
    ],
    ['date object', CLUSTER, new Date(0), 'expected an object, got an object'],
  ];
  test.each(rows)('%s', (_, name, value, problem) => {
    expect(problems(name, value)).toEqual([problem]);
  });

  test('a missing @type names the field and the likely type', () => {
    const filters = [
      { name: 'envoy.filters.network.http_connection_manager', typed_config: { stat_prefix: 'x' } },
    ];
    expect(
      problems(BOOTSTRAP, { static_resources: { listeners: [{ filter_chains: [{ filters }] }] } }),
    ).toEqual([
      'static_resources.listeners[0].filter_chains[0].filters[0].typed_config: missing "@type"; ' +
        `for envoy.filters.network.http_connection_manager it is "${TYPE_HTTP_CONNECTION_MANAGER}"`,
    ]);
  });

  test('an unknown @type suggests the nearest', () => {
    const config = (url: string) => ({ name: 'x', typed_config: { '@type': url } });
    expect(
      problems(
        'envoy.config.core.v3.TypedExtensionConfig',
        config('type.googleapis.com/envoy.extensions.filters.http.router.v2.Router'),
      ),
    ).toEqual([
      'typed_config.@type: unknown or unsupported type "type.googleapis.com/envoy.extensions.filters.http.router.v2.Router"; ' +
        `did you mean "${TYPE_ROUTER}"?`,
    ]);
    expect(
      problems(
        'envoy.config.core.v3.TypedExtensionConfig',
        config('envoy.extensions.filters.http.router.v3.Router'),
      ),
    ).toEqual([`typed_config.@type: write the type as "${TYPE_ROUTER}"`]);
  });

  test('every problem is reported, each with its path', () => {
    const listeners = [
      {},
      { filter_chains: [{}, { name: 1, filter_chain_match: { destination_port: 'x' } }] },
    ];
    expect(
      problems(BOOTSTRAP, { static_resources: { listeners, clusters: [{ nme: 'c' }] } }),
    ).toEqual([
      'static_resources.listeners[1].filter_chains[1].name: expected a string, got 1 (put it in quotes)',
      'static_resources.listeners[1].filter_chains[1].filter_chain_match.destination_port: expected a whole number, got "x"',
      'static_resources.clusters[0].nme: unknown field; did you mean "name"?',
    ]);
  });

  test('a problem inside an Any has the path through it', () => {
    const typed_config = {
      '@type': TYPE_HTTP_CONNECTION_MANAGER,
      route_config: { virtual_hosts: [{ domans: [] }] },
    };
    expect(problems('envoy.config.listener.v3.Filter', { name: 'a', typed_config })).toEqual([
      'typed_config.route_config.virtual_hosts[0].domans: unknown field; did you mean "domains"?',
    ]);
  });

  test('keys of maps are quoted where they are no plain names', () => {
    const typed_extension_protocol_options = { 'envoy.x': { '@type': 7 } };
    expect(problems(CLUSTER, { typed_extension_protocol_options })).toEqual([
      'typed_extension_protocol_options["envoy.x"].@type: expected a type URL, got 7',
    ]);
  });
});

describe('bounds', () => {
  test('nesting stops before decoders do', () => {
    let value: unknown = { any: true };
    for (let i = 0; i < 60; i++) value = { or_ids: { ids: [value] } };
    expect(problems('envoy.config.rbac.v3.Principal', value)).toEqual([
      expect.stringMatching(/: nested more than 100 levels deep$/),
    ]);
    let struct: unknown = 1;
    for (let i = 0; i < 40; i++) struct = { a: struct };
    expect(problems(NODE, { metadata: struct })).toHaveLength(1);
  });

  test('a document that holds itself ends', () => {
    const list: unknown[] = [];
    list.push(list, list);
    expect(problems(NODE, { metadata: { list } }).at(-1)).toMatch(
      /problems so far|values in one document/,
    );
  });

  test('aliases that unfold into billions of values end', () => {
    let value: unknown = Array.from({ length: 10 }, () => 'x');
    for (let i = 0; i < 9; i++) value = Array.from({ length: 10 }, () => value);
    expect(problems(NODE, { metadata: { value } })).toEqual([
      expect.stringContaining(`more than ${VALUES_MAX} values in one document`),
    ]);
  });

  test('the number of problems is bounded', () => {
    const clusters = Array.from({ length: 1000 }, () => ({ name: 1 }));
    expect(readJson(BOOTSTRAP, { static_resources: { clusters } }).problems).toHaveLength(
      PROBLEMS_MAX + 1,
    );
  });
});
