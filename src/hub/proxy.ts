/**
 * @file Proxies from HTTP_PROXY, HTTPS_PROXY and NO_PROXY, for this library's downloads alone: the process's global
 * `fetch` is not changed, and is used where no proxy is set.
 */

import { InvalidRequest } from "../errors.js";

type Environment = Readonly<Record<string, string | undefined>>;
type Fetch = typeof fetch;

/** `variable` is the environment variable that it is from. */
export type Proxy = { variable: string; url: URL };

/** `http` is used for https URLs too if `https` is not set; `none` are the hosts that are reached directly. */
export type Proxies = { http?: Proxy; https?: Proxy; none: string };

/** Lowercase variables take precedence, as in curl and Python; localhost is always reached directly. InvalidRequest. */
export function proxiesOf(environment: Environment): Proxies {
  const named = (name: string) => (environment[name.toLowerCase()] ? name.toLowerCase() : name);
  const proxy = (name: string): Proxy | undefined => {
    const variable = named(name);
    const value = environment[variable];
    return value ? { variable, url: proxyUrl(variable, value) } : undefined;
  };
  const [http, https] = [proxy("HTTP_PROXY"), proxy("HTTPS_PROXY")];
  const none = environment[named("NO_PROXY")]?.trim() ?? "";
  return {
    ...(http && { http }),
    ...(https && { https }),
    none: none === "*" ? none : [none, "localhost", "127.0.0.1", "[::1]"].filter(Boolean).join(","),
  };
}

/** Without a scheme it is http, as in curl and Python. A wrong value is not shown: it may hold a password. */
function proxyUrl(variable: string, value: string): URL {
  const text = value.includes("://") ? value : `http://${value}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && ["http:", "https:", "socks5:"].includes(url.protocol)) return url;
  const rule = "must be the URL of an HTTP or SOCKS5 proxy, such as http://host:3128";
  throw new InvalidRequest(
    variable,
    undefined,
    `${rule}, got ${url?.protocol ?? "no URL"}. Correct or unset it.`,
  );
}

/** A `fetch` through the proxies. */
export function proxyFetch({ http, https, none }: Proxies): Fetch {
  if (!http && !https) return (input, init) => fetch(input, init);
  const open = async (): Promise<Fetch> => {
    const { EnvHttpProxyAgent, fetch } = await import("undici");
    const dispatcher = new EnvHttpProxyAgent({
      // As text, so that undici does not read the process's environment.
      httpProxy: http?.url.href ?? "",
      httpsProxy: https?.url.href ?? "",
      noProxy: none,
      // Many proxies tunnel to port 443 only; https is tunnelled in any case.
      proxyTunnel: false,
    });
    // Its types are those of another version of undici than Node's.
    return ((input: string, init: object) => fetch(input, { ...init, dispatcher })) as unknown as Fetch;
  };
  let opened: Promise<Fetch> | undefined;
  return async (input, init) => (await (opened ??= open()))(input, init);
}

/** The proxy for `url`, unless NO_PROXY excludes its host. */
export function proxyFor(url: string, { http, https }: Proxies): Proxy | undefined {
  return url.startsWith("https:") ? (https ?? http) : http;
}

/** "http://host:3128 (HTTPS_PROXY)", without user and password. */
export const proxyName = ({ variable, url }: Proxy): string => `${url.protocol}//${url.host} (${variable})`;

/** The status with which a proxy refused a connection, if a `fetch` failed because of that. */
export function proxyStatus(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  const status = /^Proxy (?:response|Authentication Required) \((\d{3})\)/.exec(error.message)?.[1];
  return status === undefined ? proxyStatus(error.cause) : Number(status);
}

/** The problem and remedy for the status of a proxy. */
export function proxyProblem(endpoint: string, proxy: Proxy, status: number): string {
  const rule = `${endpoint} must be reached, got status ${status} of the proxy ${proxyName(proxy)}`;
  if (status !== 407) return `${rule}. Ask who runs it, or name the host in NO_PROXY.`;
  const { protocol, host, username } = proxy.url;
  return username
    ? `${rule}, which refuses the user and password given there. Correct them.`
    : `${rule}, which asks for a user and a password. Write ${protocol}//user:password@${host} there.`;
}
