/** @file Who is let in: hosts, origins, keys, and what every answer carries. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Stage, stage } from "../../test/serving.js";
import type { PageFiles } from "../http/page-files.js";
import { checkBinding } from "./server.js";

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

  it("is let in where it was allowed by name, with CORS; nobody else gets any CORS header", async () => {
    const origin = "https://friend.example";
    const answer = await open.get("/api/models", { origin });
    expect(answer.headers.get("access-control-allow-origin")).toBe(origin);
    const preflight = await open.app.request("http://localhost/api/jobs", {
      method: "OPTIONS",
      headers: { origin },
    });
    expect([preflight.status, preflight.headers.get("access-control-allow-headers")]).toEqual([
      204,
      "authorization, content-type, last-event-id",
    ]);
    expect((await open.get("/api/models")).headers.get("access-control-allow-origin")).toBeNull();
    const other = { method: "OPTIONS", headers: { origin: "https://evil.example" } };
    expect((await open.app.request("http://localhost/api/jobs", other)).status).toBe(403);
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
    expect(() => checkBinding("0.0.0.0", undefined)).toThrow(/--api-key/);
    expect(() => checkBinding("192.168.1.5", undefined)).toThrow(/--no-auth/);
    expect(() => checkBinding("127.0.0.1.evil.example", undefined)).toThrow();
    expect(() => checkBinding("0.0.0.0", "")).toThrow(/empty/);
    expect(() => checkBinding("0.0.0.0", "key")).not.toThrow();
    for (const host of ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
      expect(() => checkBinding(host, undefined)).not.toThrow();
  });
});

describe("every answer", () => {
  it("carries the policy and is not cached, refusals too", async () => {
    for (const answer of [await open.get("/"), await open.get("/none"), await locked.get("/v1/models")]) {
      expect(answer.headers.get("content-security-policy")).toBe(
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; " +
          "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      );
      expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
      expect(answer.headers.get("cross-origin-resource-policy")).toBe("same-origin");
    }
    expect((await open.get("/healthz")).headers.get("cache-control")).toBe("no-store");
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
