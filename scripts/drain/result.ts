/** How a request was lost. A reset of a connection that had served before is told apart: a reload can cause it. */
export const CAUSES = ['reset', 'reset on reuse', '502', '503', '504', 'timeout', 'other'] as const;
export type Cause = (typeof CAUSES)[number];

/** What became of one request. */
export interface Result {
  /** Milliseconds since the load began: when it was due. */
  readonly at: number;
  /** Milliseconds from when it was due to its end. */
  readonly ms: number;
  /** Who answered it; or else how it was lost. */
  readonly server?: string;
  readonly cause?: Cause;
  /** What came, where the cause alone does not say it. */
  readonly detail?: string;
}
