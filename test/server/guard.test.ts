/** @file Hosts, origins and keys that are let in, CORS, and the headers of every answer. */

import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PageFiles } from "../../src/http/page-files.js";
import { checkBinding } from "../../src/server/serve.js";
import { type Stage, stage } from "../serving.js";

const file = (text: string, type: string) => ({
  bytes: new TextEncoder().encode(text),
  type,
  tag: `"${text.length}"`,
  immutable: false,
});
const page: PageFiles = new Map([["/", file("<!doctype html>", "text/html")]]);

let open: Stage;
let locked: Stage;
beforeAll(async () => {
  open = await stage({
    page,
    guard: { allowOrigins: ["https://friend.example"], allowHosts: ["koala.example"] },
  });
  locked = await stage({ page, guard: { key: "secret" } });
});
afterAll(() => Promise.all([open.close(), locked.close()]));

/** An answer as it comes over a socket; `fetch` sets some of these headers itself. */
async function raw(server: Stage, method: string, path: string, headers: Record<string, string> = {}) {
  const listening = await server.listen();
  try {
    const asked = request(new URL(path, listening.url), { method, headers }).end();
    const [answer] = (await once(asked, "response")) as [IncomingMessage];
    answer.resume();
    await once(answer, "end");
    return { status: answer.statusCode, headers: answer.headers };
  } finally {
    await listening.close();
  }
}

const statusOf = async (response: Promise<Response>) => (await response).status;

describe("a foreign name or page", () => {
  it("is refused by its Host, as DNS rebinding sends it", async () => {
    for (const host of ["evil.example", "evil.example:7860", "localhost.evil.example", "1.2.3.4", ""])
      expect(await statusOf(open.get("/api/models", { host })), host).toBe(403);
    for (const host of ["localhost:7860", "127.0.0.1", "[::1]:7860", "koala.example"])
      expect(await statusOf(open.get("/api/models", { host })), host).toBe(200);
  });

  it("is refused by its Origin, for reading too", async () => {
    for (const origin of ["https://evil.example", "null", "http://localhost:9999"]) {
      expect(await statusOf(open.get("/api/models", { origin })), origin).toBe(403);
      expect(await statusOf(open.post("/api/jobs", { prompt: "x" }, { origin })), origin).toBe(403);
    }
    expect(await statusOf(open.get("/api/models", { origin: "http://localhost" }))).toBe(200);
  });

  it("is refused by Sec-Fetch-Site where browsers send no Origin, except to follow a link to the page", async () => {
    const cross = { "sec-fetch-site": "cross-site" };
    expect(await statusOf(open.get("/api/models", { ...cross, "sec-fetch-mode": "no-cors" }))).toBe(403);
    expect(await statusOf(open.get("/", { ...cross, "sec-fetch-mode": "navigate" }))).toBe(200);
    expect(await statusOf(open.get("/", { "sec-fetch-site": "same-origin" }))).toBe(200);
  });

  it("is let in where it was allowed by name", async () => {
    expect(await statusOf(open.get("/api/models", { origin: "https://friend.example" }))).toBe(200);
  });
});

describe("CORS", () => {
  const friend = { origin: "https://friend.example" };
  it("lets pages of allowed origins ask before they send, and read answers, refusals too", async () => {
    const preflight = await raw(open, "OPTIONS", "/api/jobs", {
      ...friend,
      "access-control-request-method": "POST",
      "access-control-request-headers": "content-type",
    });
    expect(preflight).toMatchObject({
      status: 204,
      headers: {
        "access-control-allow-origin": "https://friend.example",
        "access-control-allow-methods": "GET,HEAD,POST,DELETE",
        "access-control-allow-headers": "authorization,content-type,last-event-id",
        "access-control-max-age": "600",
        vary: expect.stringMatching(/\borigin\b/i),
      },
    });
    for (const [path, status] of [
      ["/api/models", 200],
      ["/api/jobs/none", 404],
      ["/nowhere", 404],
    ] as const)
      expect(await raw(open, "GET", path, friend)).toMatchObject({
        status,
        headers: {
          "access-control-allow-origin": "https://friend.example",
          "access-control-expose-headers": "location,retry-after",
          vary: expect.stringMatching(/\borigin\b/i),
        },
      });
  });

  it("names no origin to other pages, and is off where none is allowed", async () => {
    const other = { origin: "https://evil.example" };
    for (const [server, headers] of [
      [open, {}],
      [open, other],
      [locked, friend],
    ] as const)
      for (const method of ["OPTIONS", "GET"]) {
        const answer = await raw(server, method, "/api/models", headers);
        expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
      }
    expect((await raw(open, "OPTIONS", "/api/jobs", other)).status).toBe(403);
    expect((await raw(locked, "OPTIONS", "/api/jobs", friend)).status).toBe(403);
  });
});

describe("a key", () => {
  it("is asked of every route but health, the page and images' addresses", async () => {
    for (const path of [
      "/api/models",
      "/api/jobs",
      "/v1/models",
      "/sdapi/v1/options",
      "/metrics",
      "/openapi.json",
      "/x",
    ])
      expect(await statusOf(locked.get(path)), path).toBe(401);
    expect(await statusOf(locked.post("/", {}))).toBe(401);
    expect(await statusOf(locked.get("/healthz"))).toBe(200);
    expect(await statusOf(locked.get("/"))).toBe(200);
    expect(await statusOf(locked.get("/api/jobs/none/images/0"))).toBe(404);
  });

  it("is taken as Bearer, and as Basic's password for A1111's clients", async () => {
    const basic = (pair: string) => `Basic ${Buffer.from(pair).toString("base64")}`;
    for (const [authorization, status] of [
      ["Bearer secret", 200],
      [basic("anyone:secret"), 200],
      ["Bearer secre", 401],
      [basic("secret:other"), 401],
      ["secret", 401],
    ] as const)
      expect(await statusOf(locked.get("/v1/models", { authorization })), authorization).toBe(status);
  });

  it("is required to listen where others can reach, unless that is said to be meant", () => {
    for (const host of ["0.0.0.0", "192.168.1.5", "127.0.0.1.evil.example"])
      expect(() => checkBinding(host, 0, undefined)).toThrow(/^host: .* Set apiKey, or noAuth\.$/);
    expect(() => checkBinding("0.0.0.0", 0, "")).toThrow(/^apiKey: must not be empty/);
    expect(() => checkBinding("0.0.0.0", 0, "key")).not.toThrow();
    for (const host of ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
      expect(() => checkBinding(host, 0, undefined)).not.toThrow();
    for (const port of [-1, 1.5, 65536])
      expect(() => checkBinding("::1", port, undefined)).toThrow(/^port: must be a whole number/);
  });
});

describe("every answer", () => {
  it("has the security headers and is not cached, refusals too", async () => {
    for (const [server, path] of [
      [open, "/"],
      [open, "/healthz"],
      [open, "/nowhere"],
      [locked, "/v1/models"],
    ] as const)
      expect((await raw(server, "GET", path)).headers, path).toMatchObject({
        "content-security-policy":
          "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; " +
          "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "cross-origin-embedder-policy": "require-corp",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=()",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
      });
    const { headers } = await raw(open, "GET", "/healthz");
    expect(headers["cache-control"]).toBe("no-store");
    expect(headers["strict-transport-security"]).toBeUndefined();
  });

  it("of the page comes from its table, and from nowhere else", async () => {
    const answer = await open.get("/");
    expect(await answer.text()).toBe("<!doctype html>");
    expect((await open.get("/", { "if-none-match": answer.headers.get("etag")! })).status).toBe(304);
    for (const path of [
      "/../package.json",
      "/%2e%2e/package.json",
      "/assets/../../package.json",
      "/index.html",
    ])
      expect((await open.get(path)).status, path).toBe(404);
  });
});
