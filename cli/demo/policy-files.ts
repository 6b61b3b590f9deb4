import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CommandError, ExitCode } from '../exit-code.ts';

/** The policy files that the demo applies, and what tells the two sets apart. */
export interface PolicyFiles {
  readonly source: string;
  readonly destinationRules: string;
  readonly allV1: string;
  readonly canary: string;
  readonly jason: string;
  readonly delay: string;
  readonly abort: string;
  readonly abortStatus: number;
  readonly strict: string;
  readonly misspelt: string;
  readonly unknownOperator: string;
}

const OWN = join(import.meta.dirname, '../../examples/bookinfo/policies');

/** Our own files, or Istio's where `samples` names its `samples/` folder; what Istio has no sample of is ours in both. */
export function policyFiles(samples: string | undefined): PolicyFiles {
  const own = (name: string) => join(OWN, name);
  const shared = {
    strict: own('strict-mtls.yaml'),
    misspelt: own('misspelt.yaml'),
    unknownOperator: own('unknown-operator.yaml'),
  };
  if (samples === undefined || samples === '') {
    return {
      source: 'examples/bookinfo/policies',
      destinationRules: own('destination-rules.yaml'),
      allV1: own('all-v1.yaml'),
      canary: own('reviews-90-10.yaml'),
      jason: own('reviews-jason-v2.yaml'),
      delay: own('ratings-delay.yaml'),
      abort: own('ratings-abort-555.yaml'),
      abortStatus: 555,
      ...shared,
    };
  }
  const networking = join(samples, 'bookinfo/networking');
  if (!existsSync(networking)) {
    throw new CommandError(
      `${samples} holds no bookinfo/networking`,
      "WEFT_SAMPLES and --samples name Istio's samples/ folder",
      ExitCode.Data,
    );
  }
  const istio = (name: string) => join(networking, name);
  return {
    source: networking,
    destinationRules: istio('destination-rule-all.yaml'),
    allV1: istio('virtual-service-all-v1.yaml'),
    canary: istio('virtual-service-reviews-90-10.yaml'),
    jason: istio('virtual-service-reviews-test-v2.yaml'),
    delay: istio('virtual-service-ratings-test-delay.yaml'),
    abort: istio('virtual-service-ratings-test-abort.yaml'),
    abortStatus: 500,
    ...shared,
  };
}
