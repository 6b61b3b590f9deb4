import { connectApi } from '../api-connection.ts';
import type { CommandHandler } from '../command-table.ts';
import { durationFlagMs } from '../duration-flag.ts';
import { CommandError, ExitCode } from '../exit-code.ts';
import { namespaceOption } from '../manifests.ts';

/** `weft token create --service-account S [-n NS] [--ttl D]`: prints the token alone, for `> token`. */
export const run: CommandHandler = async (context) => {
  const { args, options, terminal } = context;
  if (args[0] !== 'create' || args.length > 1) {
    throw new CommandError(
      `unknown: weft token ${args.join(' ')}`,
      'there is: weft token create',
      ExitCode.Usage,
    );
  }
  const serviceAccount = options['serviceAccount'];
  if (serviceAccount === undefined) {
    const hint = 'weft token create --service-account reviews';
    throw new CommandError('name the identity that the token stands for', hint, ExitCode.Usage);
  }
  const { token } = await connectApi(context).request<{ token: string }>(
    'POST',
    '/weft/v1/tokens',
    {
      namespace: namespaceOption(options),
      serviceAccount,
      ttlSeconds: Math.ceil(durationFlagMs('--ttl', String(options['ttl'])) / 1000),
    },
  );
  terminal.out(`${token}\n`);
  return ExitCode.Ok;
};
