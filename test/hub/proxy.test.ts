/** @file Downloads through the proxies of the environment, and the errors where a proxy refuses. */

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { InvalidRequest } from "../../src/errors.js";
import { proxiesOf } from "../../src/hub/proxy.js";
import { resolveComponent } from "../../src/hub/resolve-component.js";
import { type HubServer, startHub } from "../hub-server.js";
import { certificate, type ProxyServer, startProxy } from "../proxy-server.js";

const lora = Buffer.from("a LoRA");
const commit = "a".repeat(40);

let hub: HubServer;
let proxy: ProxyServer;
let home: string;

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "hub-proxy-"));
  const files = new Map([["pytorch_lora_weights.safetensors", lora]]);
  hub = await startHub({ "o/lcm": { commits: { [commit]: files }, refs: { main: commit } } });
  proxy = await startProxy(hub.url);
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await proxy.close();
  await hub.close();
  await rm(home, { recursive: true });
});

const resolve = (environment: Record<string, string>) =>
  resolveComponent("lora", "o/lcm", {
    environment: { HF_HOME: home, HF_ENDPOINT: "http://hub.invalid", ...environment },
    retry: { pause: 1, stall: 2000 },
  });

describe("a download", () => {
  it.each(["HTTP_PROXY", "http_proxy"])("of an http address goes through %s", async (variable) => {
    expect(await readFile(await resolve({ [variable]: proxy.url }))).toEqual(lora);
    const kinds = proxy.requests.map(({ what }) => what.replace(/\?.*/, ""));
    expect(kinds).toEqual([
      "GET http://hub.invalid/api/models/o/lcm/revision/main",
      `GET http://hub.invalid/api/models/o/lcm/tree/${commit}`,
      `GET http://hub.invalid/o/lcm/resolve/${commit}/pytorch_lora_weights.safetensors`,
    ]);
  });

  it("of an https address goes through a tunnel, with the user of HTTPS_PROXY", async () => {
    const authority = path.join(home, "authority.pem");
    await writeFile(authority, certificate);
    const script = `
      import { resolveComponent } from ${JSON.stringify(new URL("../../src/hub/resolve-component.ts", import.meta.url).href)};
      process.stdout.write(await resolveComponent("lora", "o/lcm"));`;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--import", "tsx", "--input-type=module", "-e", script],
      {
        env: {
          PATH: process.env.PATH,
          HF_HOME: home,
          HF_ENDPOINT: "https://hub.invalid",
          HTTPS_PROXY: proxy.url.replace("//", "//some%20one:p%40ss@"),
          NODE_EXTRA_CA_CERTS: authority,
        },
      },
    );
    expect(await readFile(stdout)).toEqual(lora);
    expect(new Set(proxy.requests.map(({ what }) => what))).toEqual(new Set(["CONNECT hub.invalid:443"]));
    const basic = `Basic ${Buffer.from("some one:p@ss").toString("base64")}`;
    expect(new Set(proxy.requests.map(({ authorization }) => authorization))).toEqual(new Set([basic]));
  });

  it("of localhost, and of a host in NO_PROXY, goes through no proxy", async () => {
    await resolve({ HTTP_PROXY: proxy.url, HF_ENDPOINT: hub.url });
    await resolve({ HTTP_PROXY: proxy.url, HF_ENDPOINT: hub.url.replace("127.0.0.1", "localhost") });
    for (const NO_PROXY of ["hub.invalid", ".invalid", "*"]) {
      const error = await resolve({ HTTP_PROXY: proxy.url, NO_PROXY, HF_HOME: path.join(home, "new") }).catch(
        String,
      );
      expect(error).toMatch(/http:\/\/hub\.invalid must be reached, got (ENOTFOUND|EAI_AGAIN)/);
    }
    expect(proxy.requests).toEqual([]);
  });

  it("does not change the process's global fetch", async () => {
    vi.stubEnv("HTTP_PROXY", proxy.url);
    const before = globalThis.fetch;
    await resolve({ HTTP_PROXY: proxy.url });
    proxy.requests.length = 0;
    expect(globalThis.fetch).toBe(before);
    await expect(fetch("http://hub.invalid/")).rejects.toThrow();
    expect(proxy.requests).toEqual([]);
  });
});

describe("a proxy", () => {
  const secret = () => proxy.url.replace("//", "//me:secret@");
  const host = () => new URL(proxy.url).host;

  it("that needs a user is named with its variable and the remedy", async () => {
    proxy.refusedStatus = 407;
    for (const [variable, endpoint] of [
      ["HTTP_PROXY", "http://hub.invalid"],
      ["https_proxy", "https://hub.invalid"],
    ] as const) {
      await expect(resolve({ [variable]: proxy.url, HF_ENDPOINT: endpoint })).rejects.toThrow(
        `${endpoint} must be reached, got status 407 of the proxy http://${host()} (${variable}), ` +
          `which asks for a user and a password. Write http://user:password@${host()} there.`,
      );
    }
  });

  it("that refuses the user, or the request, is named without the password", async () => {
    proxy.refusedStatus = 407;
    const messageOf = async (HF_ENDPOINT: string) =>
      String(await resolve({ HTTPS_PROXY: secret(), HF_ENDPOINT }).catch(String));
    expect(await messageOf("https://hub.invalid")).toContain(
      `of the proxy http://${host()} (HTTPS_PROXY), which refuses the user and password given there. Correct them.`,
    );
    proxy.refusedStatus = 403;
    const message = await messageOf("https://hub.invalid");
    expect(message).toContain(`got status 403 of the proxy http://${host()} (HTTPS_PROXY). Ask who runs it`);
    expect(message).not.toContain("secret");
  });

  it("that is down, or answers instead of the Hub, is named", async () => {
    proxy.refusedStatus = 502;
    await expect(resolve({ HTTP_PROXY: secret() })).rejects.toThrow(
      `got status 502. The Hub or the proxy http://${host()} (HTTP_PROXY) has a problem`,
    );
    await proxy.close();
    await expect(resolve({ HTTP_PROXY: secret() })).rejects.toThrow(
      `got ECONNREFUSED. Check the network and the proxy http://${host()} (HTTP_PROXY)`,
    );
  });

  it("is read from the environment, lowercase variables first, http where no scheme is given", () => {
    const named = proxiesOf({ HTTP_PROXY: "http://a:1", http_proxy: "b:2", HTTPS_PROXY: "" });
    expect(named.http).toEqual({ variable: "http_proxy", url: new URL("http://b:2") });
    expect(named.https).toBeUndefined();
    expect(proxiesOf({ no_proxy: " * " }).none).toBe("*");
  });

  it.each(["ftp://me:secret@host", "http://", "http://me:secret@host:port"])("%s is refused", (value) => {
    const read = () => proxiesOf({ HTTPS_PROXY: value });
    expect(read).toThrow(InvalidRequest);
    expect(read).toThrow(/^HTTPS_PROXY: must be the URL of an HTTP or SOCKS5 proxy(?!.*secret)/);
  });
});
