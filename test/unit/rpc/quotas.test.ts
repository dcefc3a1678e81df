import { describe, expect, test } from "vitest";

import type { Principal } from "../../../src/rpc/access/principals.ts";
import { createQuotas } from "../../../src/rpc/access/quotas.ts";
import { createTokenBucket } from "../../../src/rpc/access/token-bucket.ts";

const principal = (name: string): Principal => ({ name, namespace: "n", roles: new Set(), expiresMs: undefined });

describe("a token bucket", () => {
  test("lets a burst through, then as many as flow in", () => {
    const bucket = createTokenBucket({ perSecond: 10, burst: 3 });
    expect([1, 2, 3].map(() => bucket.take(0))).toEqual([undefined, undefined, undefined]);
    expect(bucket.take(0)).toBe(100);
    expect(bucket.take(99)).toBe(1);
    expect(bucket.take(100)).toBeUndefined();
    expect(bucket.take(100)).toBe(100);
  });

  test("never holds more than its burst", () => {
    const bucket = createTokenBucket({ perSecond: 10, burst: 2 });
    bucket.take(0);
    expect([1, 2].map(() => bucket.take(3_600_000))).toEqual([undefined, undefined]);
    expect(bucket.take(3_600_000)).toBe(100);
  });

  test("lends what a batch takes beyond it, and is paid back before anything else", () => {
    const bucket = createTokenBucket({ perSecond: 10, burst: 5 });
    expect(bucket.take(0, 25)).toBeUndefined();
    expect(bucket.take(0)).toBe(2_100);
    expect(bucket.take(2_100)).toBeUndefined();
  });

  test("is not confused by a clock that goes back", () => {
    const bucket = createTokenBucket({ perSecond: 10, burst: 1 });
    expect(bucket.take(1_000)).toBeUndefined();
    expect(bucket.take(0)).toBe(100);
  });
});

describe("quotas", () => {
  test("let everything through unless they are set", () => {
    const quotas = createQuotas({});
    for (let call = 0; call < 10_000; call += 1) quotas.charge(principal("a"), 0);
    expect(() => quotas.begin(principal("a"))).not.toThrow();
  });

  test("of a rate hold for each principal by itself, over all of its keys", () => {
    const quotas = createQuotas({ callsPerSecond: 2 });
    quotas.charge(principal("a"), 0);
    quotas.charge(principal("a"), 0);
    expect(() => quotas.charge(principal("a"), 0)).toThrow(
      expect.objectContaining({ reason: "RATE_LIMITED", retryDelayMs: 500 }),
    );
    expect(() => quotas.charge(principal("b"), 0)).not.toThrow();
    expect(() => quotas.charge(principal("a"), 500)).not.toThrow();
  });

  test("charge a batch for what is in it", () => {
    const quotas = createQuotas({ callsPerSecond: 1, burst: 2 });
    quotas.charge(principal("a"), 0);
    quotas.chargeMore(principal("a"), 9, 0);
    expect(() => quotas.charge(principal("a"), 8_000)).toThrow(expect.objectContaining({ retryDelayMs: 1_000 }));
    expect(() => quotas.charge(principal("a"), 9_000)).not.toThrow();
  });

  test("of calls under way are given back when calls end", () => {
    const quotas = createQuotas({ callsInFlight: 2 });
    const end = quotas.begin(principal("a"));
    quotas.begin(principal("a"));
    expect(() => quotas.begin(principal("a"))).toThrow(expect.objectContaining({ reason: "RATE_LIMITED" }));
    expect(() => quotas.begin(principal("b"))).not.toThrow();
    end();
    expect(() => quotas.begin(principal("a"))).not.toThrow();
  });
});
