import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** A connection that says exactly what it is told to. */
export interface RawConnection {
  readonly socket: Socket;
  /** Resolves when the other side has closed it, with all that it said. */
  readonly closed: Promise<string>;
  /** Resolves with all that it said so far, as soon as that contains `text`. */
  until(text: string): Promise<string>;
}

/** Connects to `host:port`, and says `text` if there is any. */
export async function connectRaw(address: string, text?: string | Buffer): Promise<RawConnection> {
  const { hostname, port } = new URL(`http://${address}`);
  const socket = connect(Number(port), hostname);
  let said = "";
  const waiting = new Set<() => void>();
  socket.on("data", (chunk: Buffer) => {
    said += chunk.toString("latin1");
    for (const look of waiting) look();
  });
  socket.on("error", () => {});
  const closed = new Promise<string>((resolve) => {
    socket.once("close", () => resolve(said));
  });
  await once(socket, "connect");
  if (text !== undefined) socket.write(text);
  return {
    socket,
    closed,
    until: (part) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (!said.includes(part)) return;
          waiting.delete(look);
          resolve(said);
        };
        waiting.add(look);
        socket.once("close", () => reject(new Error(`connection closed before "${part}", after "${said}"`)));
        look();
      }),
  };
}
