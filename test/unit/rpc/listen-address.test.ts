import { describe, expect, test } from "vitest";

import { assertMayListen, formatListenAddress, parseListenAddress } from "../../../src/listen-address.ts";

describe("a listen address", () => {
  test.each([
    ["127.0.0.1:0", { host: "127.0.0.1", port: 0 }],
    ["localhost:8080", { host: "localhost", port: 8_080 }],
    ["[::1]:65535", { host: "::1", port: 65_535 }],
  ])("%s is read and written", (address, parsed) => {
    expect(parseListenAddress(address)).toEqual(parsed);
    expect(formatListenAddress(parsed)).toBe(address);
  });

  test.each([
    "",
    "8080",
    ":8080",
    "localhost",
    "localhost:",
    "::1:80",
    "[::1]",
    "[localhost]:1",
    "a:65536",
    "a:b",
    "a:1:2",
  ])("%j is refused", (address) => {
    expect(() => parseListenAddress(address)).toThrow(RangeError);
  });
});

describe("without authentication", () => {
  test.each(["127.0.0.1:1", "127.8.8.8:1", "localhost:1", "[::1]:1", "[::ffff:127.0.0.1]:1"])(
    "%s may be listened on",
    (address) => {
      expect(() => assertMayListen(address, { authenticated: false })).not.toThrow();
    },
  );

  test.each([
    "0.0.0.0:1",
    "[::]:1",
    "10.0.0.1:1",
    "example.com:1",
    "127.0.0.1.example.com:1",
    "localhost.example.com:1",
  ])("%s may not, and it is said what to do", (address) => {
    expect(() => assertMayListen(address, { authenticated: false })).toThrow(/TASKWATCH_API_KEYS_FILE.*127\.0\.0\.1/);
    expect(() => assertMayListen(address, { authenticated: true })).not.toThrow();
  });
});
