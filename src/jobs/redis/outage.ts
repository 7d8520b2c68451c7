/** @file Why a Redis does not do what a command says, from the error of the command. */

import { InvalidRequest } from "../../errors.js";

/** Why Redis does not do what a command says. */
export type Outage = {
  /** For messages: "no answer". */
  got: string;
  /** It does not answer, has no memory left, refuses this client, or will be able to later. */
  kind: "silent" | "full" | "refuses" | "later";
};

export const silence: Outage = { kind: "silent", got: "no answer" };

const outages: readonly (Outage & { pattern: RegExp })[] = [
  { pattern: /\bOOM command not allowed/, kind: "full", got: "a Redis that is full (maxmemory)" },
  { pattern: /\bMISCONF\b/, kind: "later", got: "a Redis that cannot write to its disk (MISCONF)" },
  { pattern: /\bREADONLY\b/, kind: "later", got: "a replica, which takes no writes (READONLY)" },
  {
    pattern: /\b(EMFILE|ENFILE)\b/,
    kind: "later",
    got: "no connection, as too many files are open (EMFILE)",
  },
  { pattern: /\bLOADING\b/, kind: "later", got: "a Redis that still reads its data (LOADING)" },
  { pattern: /\bBUSY\b/, kind: "later", got: "a Redis that is held up by a script (BUSY)" },
  { pattern: /max number of clients/, kind: "later", got: "a Redis that has as many clients as it takes" },
  { pattern: /\b(MASTERDOWN|NOREPLICAS)\b/, kind: "later", got: "a Redis that waits for another Redis" },
  { pattern: /\bNOAUTH\b/, kind: "refuses", got: "a Redis that asks for a password (NOAUTH)" },
  { pattern: /\bWRONGPASS\b/, kind: "refuses", got: "a Redis that refuses the user or password (WRONGPASS)" },
  { pattern: /\bNOPERM\b/, kind: "refuses", got: "a Redis that does not let this user do it (NOPERM)" },
  { pattern: /DB index is out of range/, kind: "refuses", got: "a Redis that has no such database" },
  { pattern: /certificate|\bCERT_/i, kind: "refuses", got: "a Redis whose certificate is not trusted" },
  { pattern: /\b(MOVED|CROSSSLOT|CLUSTERDOWN)\b/, kind: "refuses", got: "a Cluster, which is not supported" },
  // ioredis, of the answer's first byte: a web server's is the H of HTTP.
  { pattern: /Unknown RESP type/, kind: "refuses", got: "an answer that is not Redis's" },
  {
    pattern: /connection is closed|stream isn't writeable|\bE(CONN|PIPE|TIMEDOUT|NOTFOUND|AI_AGAIN)/i,
    ...silence,
  },
  { pattern: /\bE(HOST|NET)UNREACH|ERR_SSL/, ...silence },
];

/** The outage behind an error; undefined for a wrong command. */
export function outageOf(error: unknown): Outage | undefined {
  if (!(error instanceof Error)) return undefined;
  const { name, message, code = "" } = error as NodeJS.ErrnoException;
  if (name === "MaxRetriesPerRequestError") return silence;
  // Of a transaction, the errors of its commands say why.
  const { previousErrors = [] } = error as { previousErrors?: readonly Error[] };
  const text = [code, message, ...previousErrors.map((previous) => previous.message)].join(" ");
  return outages.find(({ pattern }) => pattern.test(text));
}

/** The error of a start at a Redis that refuses it. */
export function refusal(address: string, { got }: Outage): InvalidRequest {
  return new InvalidRequest(
    "redis",
    address,
    `must take jobs at ${address}, got ${got}. Correct the address.`,
  );
}

export const isFull = (error: unknown): boolean => outageOf(error)?.kind === "full";
