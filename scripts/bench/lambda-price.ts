/** What one call takes: milliseconds on the clock with a CPU of its own, and of CPU time. */
export interface Duration {
  readonly ms: number;
  readonly cpuMs: number;
}

// https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
const MB_OF_ONE_CPU = 1769;

/** List prices of arm64 in us-east-1, first tier: https://aws.amazon.com/lambda/pricing/ (SNS delivers to Lambda for nothing). */
export const USD_PER_GB_SECOND = 0.0000133334;
export const USD_PER_MILLION_REQUESTS = 0.2;

/** Milliseconds that a call takes with the share of a CPU that comes with so many MB of memory. */
export function atShareOf(memoryMb: number, { ms, cpuMs }: Duration): number {
  return Math.max(ms, (cpuMs * MB_OF_ONE_CPU) / memoryMb);
}

/** US dollars for a million invocations that take so many milliseconds each, of which Lambda bills whole ones. */
export function usdPerMillion(memoryMb: number, ms: number): number {
  return Math.ceil(ms) * 1000 * (memoryMb / 1024) * USD_PER_GB_SECOND + USD_PER_MILLION_REQUESTS;
}
