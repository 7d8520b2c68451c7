/** @file Addresses in answers behind a proxy that ends TLS, and who may say so. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Stage, stage } from "../../test/serving.js";

let trusting: Stage;
let other: Stage;
const allowHosts = ["koala.example"];
beforeAll(async () => {
  trusting = await stage({ guard: { allowHosts, trustProxy: true } });
  other = await stage({ guard: { allowHosts } });
});
afterAll(() => Promise.all([trusting.close(), other.close()]));

/** The origin of the image's address in an answer of OpenAI's API. */
async function originOf(server: Stage, headers: Record<string, string>): Promise<string> {
  const body = { prompt: "x", size: "64x64", steps: 1, response_format: "url" };
  const answer = await server.post("/v1/images/generations", body, headers);
  expect(answer.status).toBe(200);
  const { data } = (await answer.json()) as { data: { url: string }[] };
  return new URL(data[0]!.url).origin;
}

const proxied = { "x-forwarded-proto": "https", "x-forwarded-host": "koala.example" };

describe("behind a trusted proxy", () => {
  it("an image's address has the scheme and host that the client used", async () => {
    expect(await originOf(trusting, proxied)).toBe("https://koala.example");
    const byTwo = { "x-forwarded-proto": "HTTPS, http", "x-forwarded-host": "koala.example, 127.0.0.1" };
    expect(await originOf(trusting, byTwo)).toBe("https://koala.example");
    expect(await originOf(trusting, { "x-forwarded-proto": "javascript" })).toBe("http://localhost");
    expect(await originOf(trusting, {})).toBe("http://localhost");
  });

  it("the page's origin is the forwarded host, whatever host the proxy itself asks for", async () => {
    const headers = { ...proxied, origin: "https://koala.example" };
    expect((await trusting.get("/api/models", headers)).status).toBe(200);
    const evil = { ...proxied, origin: "https://evil.example" };
    expect((await trusting.get("/api/models", evil)).status).toBe(403);
  });

  it("both host names must be the server's own, as a page may send the forwarded one itself", async () => {
    const rebound = { host: "evil.example", "x-forwarded-host": "localhost" };
    expect((await trusting.get("/api/models", rebound)).status).toBe(403);
    const foreign = { "x-forwarded-host": "evil.example", origin: "https://evil.example" };
    expect((await trusting.get("/api/models", foreign)).status).toBe(403);
  });
});

describe("without a trusted proxy", () => {
  it("the forwarded headers have no effect", async () => {
    expect(await originOf(other, proxied)).toBe("http://localhost");
    const headers = { ...proxied, origin: "https://koala.example" };
    expect((await other.get("/api/models", headers)).status).toBe(403);
  });
});
