/** The command line makes no sense. The message says what would. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The user wants it to end. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";

  /** `advice` says how to go on. */
  constructor(advice?: string) {
    super(advice === undefined ? "interrupted" : `interrupted; ${advice}`);
  }
}
