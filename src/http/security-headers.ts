/**
 * @file The security headers of every response, for pages that load nothing but the files of their own server; and the
 * policy of the static site, which fetches models too.
 */

import type { MiddlewareHandler } from "hono";
import { secureHeaders } from "hono/secure-headers";

// Also keeps an image or a JSON document from being interpreted as anything else.
const policy = {
  defaultSrc: ["'self'"],
  scriptSrc: ["'self'"],
  styleSrc: ["'self'"],
  imgSrc: ["'self'", "data:", "blob:"],
  connectSrc: ["'self'"],
  objectSrc: ["'none'"],
  baseUri: ["'none'"],
  formAction: ["'none'"],
};

/** Of a page that generates in the tab: ONNX Runtime is WebAssembly there. */
const tabPolicy = { ...policy, scriptSrc: [...policy.scriptSrc, "'wasm-unsafe-eval'"] };

/** The Hub, and where it keeps its files. */
const hubHosts = ["https://huggingface.co", "https://*.huggingface.co", "https://*.hf.co"];

/**
 * Adds the headers to every response, errors included; without a `cache-control` of its own, none is stored. With
 * `tab` for a server whose page can generate in the tab.
 */
export function securityHeaders({ tab = false } = {}): MiddlewareHandler {
  const protection = secureHeaders({
    contentSecurityPolicy: { ...(tab ? tabPolicy : policy), frameAncestors: ["'none'"] },
    // With the opener's policy it gives WebAssembly threads.
    ...(tab && { crossOriginEmbedderPolicy: "require-corp" }),
    permissionsPolicy: { camera: [], microphone: [], geolocation: [] },
    xFrameOptions: "DENY",
    // Whether a name is reached by https only is decided where TLS ends, not here.
    strictTransportSecurity: false,
    // A route may set a stricter policy.
    overwrite: false,
  });
  return async (c, next) => {
    await protection(c, next);
    if (!c.res.headers.has("cache-control")) c.res.headers.set("cache-control", "no-store");
  };
}

/** The policy of the static site, as the text of a header or of a `<meta>`. */
export const sitePolicy: string = Object.entries({
  ...tabPolicy,
  connectSrc: [...policy.connectSrc, ...hubHosts],
})
  .map(([name, sources]) => `${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)} ${sources.join(" ")}`)
  .join("; ");
