import { cors } from "@connectrpc/connect";

/** Answers browsers that ask whether a page of another origin may call. */
export interface Cors {
  /** The headers for an answer to a page of this origin; none if it may not call. */
  headers(origin: string | undefined): Readonly<Record<string, string>>;
  /** The further headers for an answer to a preflight request. */
  preflightHeaders(origin: string | undefined): Readonly<Record<string, string>>;
}

/** Lets pages of these origins call (such as `https://status.example.com`), and no others. */
export function createCors(origins: readonly string[]): Cors {
  const allowed = new Set(origins);
  const mayCall = (origin: string | undefined): origin is string => origin !== undefined && allowed.has(origin);
  return {
    headers(origin) {
      if (allowed.size === 0) return {};
      if (!mayCall(origin)) return { vary: "origin" };
      return {
        vary: "origin",
        "access-control-allow-origin": origin,
        "access-control-expose-headers": [...cors.exposedHeaders, "retry-after"].join(", "),
      };
    },
    preflightHeaders(origin) {
      if (!mayCall(origin)) return {};
      return {
        "access-control-allow-methods": cors.allowedMethods.join(", "),
        "access-control-allow-headers": [...cors.allowedHeaders, "authorization", "traceparent"].join(", "),
        "access-control-max-age": "7200",
      };
    },
  };
}
