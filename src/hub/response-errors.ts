/** @file The errors for the Hub's responses, and for none, each with its remedy. */

import { ModelError } from "../errors.js";
import type { HubModel } from "./name.js";
import { proxyFor, proxyName, proxyProblem, proxyStatus } from "./proxy.js";
import type { HubSettings } from "./settings.js";
import { HubUnreachable } from "./unreachable.js";

/** The error for a response without status 2xx. */
export async function responseError(
  response: Response,
  model: HubModel,
  settings: HubSettings,
): Promise<ModelError> {
  const { status } = response;
  const text = `${response.headers.get("x-error-message") ?? ""} ${await response.text().catch(() => "")}`;
  const code = response.headers.get("x-error-code") ?? "";
  if (status === 401 || status === 403) return new ModelError(model.id, denied(code, text, model, settings));
  if (status === 404) return new ModelError(model.id, absent(code, text, model, settings));
  const got = `${settings.endpoint} must answer, got status ${status}`;
  if (status === 429)
    return new HubUnreachable(model.id, `${got} (too many requests). Wait some minutes, or set HF_TOKEN.`);
  if (status >= 500) {
    const proxy = endpointProxy(settings);
    const whose = proxy ? `The Hub or the proxy ${proxyName(proxy)}` : "The Hub";
    return new HubUnreachable(model.id, `${got}. ${whose} has a problem; try again later.`);
  }
  return new ModelError(model.id, `${got} for ${new URL(response.url).pathname}. Check HF_ENDPOINT.`);
}

function denied(code: string, text: string, { id }: HubModel, { endpoint, token }: HubSettings): string {
  const page = `${endpoint}/${id}`;
  if (code === "GatedRepo" || /gated|access to model/i.test(text)) {
    return token
      ? `is gated, and your token's account must be granted access. Ask for it at ${page}.`
      : `is gated: a token must be given. Accept its terms at ${page}, then ${getToken(endpoint)}.`;
  }
  if (token && /invalid|expired|credentials/i.test(text)) {
    return `the Hub refused the token. Make a new one, ${getToken(endpoint)}.`;
  }
  return absent(code, text, { id, revision: "main" }, { endpoint, token });
}

function absent(
  code: string,
  text: string,
  { id, revision }: HubModel,
  { endpoint, token }: Pick<HubSettings, "endpoint" | "token">,
) {
  if (code === "RevisionNotFound" || /invalid rev/i.test(text)) {
    return `must have the revision "${revision}", got none of that name. Its branches and tags: ${endpoint}/${id}/tree/main.`;
  }
  if (code === "EntryNotFound") {
    return `a file that ${endpoint} lists must be there, got status 404. Try again later.`;
  }
  const access = token ? "check that your token may read it" : getToken(endpoint);
  return `must be a model at ${endpoint}, got none, or a private one. Check owner and name; if private, ${access}.`;
}

const getToken = (endpoint: string): string =>
  `set HF_TOKEN to a token from ${endpoint}/settings/tokens, or log in with "hf auth login"`;

/** The problem and remedy where no response came. */
export function unreachableReason(settings: HubSettings, error: unknown): string {
  const { endpoint } = settings;
  const proxy = endpointProxy(settings);
  const status = proxyStatus(error);
  if (proxy && status !== undefined) return proxyProblem(endpoint, proxy, status);
  const what = proxy ? `the network and the proxy ${proxyName(proxy)}` : "the network";
  const remedy = `Check ${what}; with HF_HUB_OFFLINE=1 only the cache is used.`;
  return `${endpoint} must be reached, got ${reason(error)}. ${remedy}`;
}

const endpointProxy = ({ endpoint, proxies }: HubSettings) => proxyFor(endpoint, proxies);

/** Why `fetch` failed: the system's error code, or a message. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return reason(error.cause);
  return "code" in error && error.code ? String(error.code) : error.message;
}
