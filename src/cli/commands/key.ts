import { hash, randomBytes } from "node:crypto";

import { type Command, InvalidArgumentError } from "commander";

import { styleOf } from "../screen/style.ts";
import type { Session } from "../session.ts";
import { listValue, timeValue } from "./option-values.ts";

/** What a key may open, as the service names it. */
export const keyRoles = ["submit", "read", "operate", "worker"] as const;

interface KeyFlags {
  readonly name: string;
  readonly namespace: string;
  readonly roles: string[];
  readonly expires?: Date;
}

/** An entry of the service's file of API keys. */
export interface KeyEntry {
  readonly name: string;
  readonly namespace: string;
  readonly roles: readonly string[];
  /** Of the key, in hexadecimal. */
  readonly sha256: string;
  readonly expires?: string;
}

/** `taskwatch key create`: makes an API key. */
export function addKey(program: Command, session: Session): void {
  const key = program.command("key").description("make API keys");
  key
    .command("create")
    .description("make an API key and the entry that lets it in")
    .requiredOption("--name <name>", "who has it; kept in the cancellations it asks for", nameValue)
    .option("--namespace <namespace>", "whose tasks it sees", nameValue, "default")
    .option("--roles <roles>", `any of ${keyRoles.join(", ")}`, rolesValue, ["submit", "read"])
    .option("--expires <time>", "when it stops to be valid: a date, or a duration from now", timeValue)
    .action(({ name, namespace, roles, expires }: KeyFlags) => {
      const { io, options } = session;
      const secret = createKey();
      const entry: KeyEntry = {
        name,
        namespace,
        roles,
        sha256: hash("sha256", secret, "hex"),
        ...(expires !== undefined && { expires: expires.toISOString() }),
      };
      if (options.format === "json") {
        io.out.write(`${JSON.stringify({ key: secret, entry })}\n`);
        return;
      }
      const style = styleOf(io.out, io);
      io.out.write(`${style("strong", secret)}\n\n${JSON.stringify(entry, null, 2)}\n`);
      io.err.write(
        "\nThe first line is the key: it is shown this once, and goes to TASKWATCH_API_KEY of the caller.\n" +
          'The entry goes into "keys" of the file that TASKWATCH_API_KEYS_FILE of the service names.\n',
      );
    });
}

/** 256 random bits, with a prefix by which scanners find keys that leaked. */
function createKey(): string {
  return `tw_${randomBytes(32).toString("base64url")}`;
}

function rolesValue(text: string): string[] {
  const roles = listValue(text);
  for (const role of roles) {
    if (!keyRoles.some((known) => known === role)) {
      throw new InvalidArgumentError(`"${role}" is none of ${keyRoles.join(", ")}.`);
    }
  }
  if (roles.length === 0) throw new InvalidArgumentError("name at least one.");
  return roles;
}

function nameValue(text: string): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(text)) return text;
  throw new InvalidArgumentError(`"${text}" is not a name: write 1 to 64 letters, digits, _ and -.`);
}
