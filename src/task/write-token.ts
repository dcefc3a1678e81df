import { randomFillSync } from "node:crypto";

const pool = new BigUint64Array(128);
let next = pool.length;

/**
 * A random name for a write or an attempt: 64 bits, never 0. Drawn from a pool, because asking the system each time costs more
 * than everything else about a write.
 */
export function newToken(): bigint {
  if (next === pool.length) {
    randomFillSync(pool);
    next = 0;
  }
  const token = pool[next] ?? 0n;
  next += 1;
  return token === 0n ? newToken() : token;
}
