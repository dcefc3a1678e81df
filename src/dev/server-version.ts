/** The oldest nats-server that the project works on: the first with scheduled messages and every fix that they need. */
export const oldestNatsServer = "2.12.7";

/**
 * The version in what `nats-server --version` prints, such as `2.15.1`; undefined where there is none.
 * A development build counts as the release that it leads to.
 */
export function versionFrom(output: string): string | undefined {
  return /\bv?(\d+\.\d+\.\d+)/.exec(output)?.[1];
}

/** Whether a version of three numbers is another one or newer. */
export function isAtLeast(version: string, floor: string): boolean {
  const [numbers, floorNumbers] = [version, floor].map((text) => text.split(".").map(Number));
  for (const [index, wanted] of (floorNumbers ?? []).entries()) {
    const number = numbers?.[index] ?? 0;
    if (number !== wanted) return number > wanted;
  }
  return true;
}
