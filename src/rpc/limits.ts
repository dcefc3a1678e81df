const KiB = 1_024;
const MiB = 1_024 * KiB;

/** What one message may be, in both directions and on every transport. */
export const maxMessageBytes = MiB;

/** What the listeners put up with. */
export interface Limits {
  /** All header fields of a request together. */
  readonly maxHeaderBytes: number;
  readonly maxStreamsPerConnection: number;
  /** Of each listener. */
  readonly maxConnections: number;
  readonly tlsHandshakeTimeoutMs: number;
  /** From the start of a call to its last byte. */
  readonly requestTimeoutMs: number;
  /** How long a client may leave what was sent to it unread. */
  readonly stallTimeoutMs: number;
  /** HTTP/2: how long a connection may be without a stream. HTTP/1.1: without a request. */
  readonly idleTimeoutMs: number;
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
  /** After this long, give or take a tenth, a connection takes no further calls. */
  readonly maxConnectionAgeMs: number;
  /** How long calls may go on after that. Longer than the age at which watches end by themselves. */
  readonly maxConnectionGraceMs: number;
}

/** What holds unless said otherwise. */
export const defaultLimits: Limits = {
  maxHeaderBytes: 16 * KiB,
  maxStreamsPerConnection: 1_000,
  maxConnections: 2_000,
  tlsHandshakeTimeoutMs: 5_000,
  requestTimeoutMs: 10_000,
  stallTimeoutMs: 30_000,
  idleTimeoutMs: 120_000,
  pingIntervalMs: 20_000,
  pingTimeoutMs: 10_000,
  maxConnectionAgeMs: 1_800_000,
  maxConnectionGraceMs: 2_400_000,
};

/**
 * How an HTTP/2 server is set up, on both listeners. Node enforces all of this itself; its defaults are looser.
 *
 * The memory of a session is the sum of what waits in its streams: too little, and one connection full of slow watchers
 * loses all of them at once.
 */
export function http2Options(limits: Limits) {
  return {
    settings: {
      maxConcurrentStreams: limits.maxStreamsPerConnection,
      maxHeaderListSize: limits.maxHeaderBytes,
    },
    maxSessionMemory: 256,
    maxHeaderListPairs: 64,
    maxSettings: 32,
    maxSessionInvalidFrames: 50,
    maxSessionRejectedStreams: 100,
    // A client may well cancel a thousand calls at once, but not go on like that.
    streamResetBurst: 1_000,
    streamResetRate: 33,
    unknownProtocolTimeout: limits.tlsHandshakeTimeoutMs,
    handshakeTimeout: limits.tlsHandshakeTimeoutMs,
  } as const;
}
