import type { Unreadable } from './facts/fact.ts';

/** How the check judged one link of the chain. */
export interface Finding {
  /** `unknown`: the link could not be looked at, or the check cannot judge it. */
  readonly state: 'ok' | 'broken' | 'unknown';
  /** A broken link also names the effect on the next scale-in, an unknown one the reason. */
  readonly finding: string;
  /** How to fix a broken link: a shell command when it is safe and sufficient, else a sentence. Null for other links. */
  readonly fix: string | null;
}

/** One link of the chain from the hook to the tag. */
export interface Link extends Finding {
  readonly link: string;
  /** The Auto Scaling group of the link; null for a link that all groups share. */
  readonly group: string | null;
}

export function ok(finding: string): Finding {
  return { state: 'ok', finding, fix: null };
}

export function broken(finding: string, fix: string): Finding {
  return { state: 'broken', finding, fix };
}

export function unknown(reason: string | Unreadable): Finding {
  const finding = typeof reason === 'string' ? reason : reason.unreadable;
  return { state: 'unknown', finding: finding === 'absent' ? 'the answer is empty' : finding, fix: null };
}
