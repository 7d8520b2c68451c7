/** @file The security headers of every response, for pages that load nothing but the files of their own server. */

import type { MiddlewareHandler } from "hono";
import { secureHeaders } from "hono/secure-headers";

const protection = secureHeaders({
  // Also keeps an image or a JSON document from being interpreted as anything else.
  contentSecurityPolicy: {
    defaultSrc: ["'self'"],
    scriptSrc: ["'self'"],
    styleSrc: ["'self'"],
    imgSrc: ["'self'", "data:", "blob:"],
    connectSrc: ["'self'"],
    objectSrc: ["'none'"],
    baseUri: ["'none'"],
    formAction: ["'none'"],
    frameAncestors: ["'none'"],
  },
  permissionsPolicy: { camera: [], microphone: [], geolocation: [] },
  xFrameOptions: "DENY",
  // Whether a name is reached by https only is decided where TLS ends, not here.
  strictTransportSecurity: false,
  // A route may set a stricter policy.
  overwrite: false,
});

/** Adds the headers to every response, errors included; without a `cache-control` of its own, none is stored. */
export const securityHeaders: MiddlewareHandler = async (c, next) => {
  await protection(c, next);
  if (!c.res.headers.has("cache-control")) c.res.headers.set("cache-control", "no-store");
};
