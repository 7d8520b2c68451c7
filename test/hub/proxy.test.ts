/** @file Downloads through the proxies that the environment names: what they are asked, and what their refusals say. */

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { InvalidRequest } from "../../src/errors.js";
import { proxiesOf } from "../../src/hub/proxy.js";
import { resolvePart } from "../../src/hub/resolve-part.js";
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
  resolvePart("lora", "o/lcm", {
    environment: { HF_HOME: home, HF_ENDPOINT: "http://hub.invalid", ...environment },
    patience: { pause: 1, stall: 2000 },
  });

describe("a download", () => {
  test.each(["HTTP_PROXY", "http_proxy"])("of an http address goes through %s", async (variable) => {
    expect(await readFile(await resolve({ [variable]: proxy.url }))).toEqual(lora);
    const kinds = proxy.asked.map(({ what }) => what.replace(/\?.*/, ""));
    expect(kinds).toEqual([
      "GET http://hub.invalid/api/models/o/lcm/revision/main",
      `GET http://hub.invalid/api/models/o/lcm/tree/${commit}`,
      `GET http://hub.invalid/o/lcm/resolve/${commit}/pytorch_lora_weights.safetensors`,
    ]);
  });

  test("of an https address goes through a tunnel, with the user that HTTPS_PROXY names", async () => {
    const authority = path.join(home, "authority.pem");
    await writeFile(authority, certificate);
    const script = `
      import { resolvePart } from ${JSON.stringify(new URL("../../src/hub/resolve-part.ts", import.meta.url).href)};
      process.stdout.write(await resolvePart("lora", "o/lcm"));`;
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
    expect(new Set(proxy.asked.map(({ what }) => what))).toEqual(new Set(["CONNECT hub.invalid:443"]));
    const basic = `Basic ${Buffer.from("some one:p@ss").toString("base64")}`;
    expect(new Set(proxy.asked.map(({ authorization }) => authorization))).toEqual(new Set([basic]));
  });

  test("of this machine's own servers goes to none, nor does one of a host that NO_PROXY names", async () => {
    await resolve({ HTTP_PROXY: proxy.url, HF_ENDPOINT: hub.url });
    await resolve({ HTTP_PROXY: proxy.url, HF_ENDPOINT: hub.url.replace("127.0.0.1", "localhost") });
    for (const NO_PROXY of ["hub.invalid", ".invalid", "*"]) {
      const error = await resolve({ HTTP_PROXY: proxy.url, NO_PROXY, HF_HOME: path.join(home, "new") }).catch(
        String,
      );
      expect(error).toMatch(/http:\/\/hub\.invalid must be reached, got (ENOTFOUND|EAI_AGAIN)/);
    }
    expect(proxy.asked).toEqual([]);
  });

  test("leaves the process's own fetch as it is", async () => {
    vi.stubEnv("HTTP_PROXY", proxy.url);
    const before = globalThis.fetch;
    await resolve({ HTTP_PROXY: proxy.url });
    proxy.asked.length = 0;
    expect(globalThis.fetch).toBe(before);
    await expect(fetch("http://hub.invalid/")).rejects.toThrow();
    expect(proxy.asked).toEqual([]);
  });
});

describe("a proxy", () => {
  const secret = () => proxy.url.replace("//", "//me:secret@");
  const host = () => new URL(proxy.url).host;

  test("that asks for a user is named with its variable, and how to name one", async () => {
    proxy.refusal = 407;
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

  test("that refuses the user, or anything else, is named without the password", async () => {
    proxy.refusal = 407;
    const told = async (HF_ENDPOINT: string) =>
      String(await resolve({ HTTPS_PROXY: secret(), HF_ENDPOINT }).catch(String));
    expect(await told("https://hub.invalid")).toContain(
      `of the proxy http://${host()} (HTTPS_PROXY), which refuses the user and password given there. Correct them.`,
    );
    proxy.refusal = 403;
    const message = await told("https://hub.invalid");
    expect(message).toContain(`got status 403 of the proxy http://${host()} (HTTPS_PROXY). Ask who runs it`);
    expect(message).not.toContain("secret");
  });

  test("that is down, or answers in the Hub's place, is something to check", async () => {
    proxy.refusal = 502;
    await expect(resolve({ HTTP_PROXY: secret() })).rejects.toThrow(
      `got status 502. The Hub or the proxy http://${host()} (HTTP_PROXY) has a problem`,
    );
    await proxy.close();
    await expect(resolve({ HTTP_PROXY: secret() })).rejects.toThrow(
      `got ECONNREFUSED. Check the network and the proxy http://${host()} (HTTP_PROXY)`,
    );
  });

  test("is what the environment's variable says, small letters first, http where no scheme is given", () => {
    const named = proxiesOf({ HTTP_PROXY: "http://a:1", http_proxy: "b:2", HTTPS_PROXY: "" });
    expect(named.http).toEqual({ variable: "http_proxy", url: new URL("http://b:2") });
    expect(named.https).toBeUndefined();
    expect(proxiesOf({ no_proxy: " * " }).none).toBe("*");
  });

  test.each(["ftp://me:secret@host", "http://", "http://me:secret@host:port"])("%s is refused", (value) => {
    const read = () => proxiesOf({ HTTPS_PROXY: value });
    expect(read).toThrow(InvalidRequest);
    expect(read).toThrow(/^HTTPS_PROXY: must be the URL of an HTTP or SOCKS5 proxy(?!.*secret)/);
  });
});
