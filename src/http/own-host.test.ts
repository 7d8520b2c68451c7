/** @file Tests of the check of a request's Host header. */

import { describe, expect, it } from "vitest";
import { hostAllowed } from "./own-host.js";

describe("hostAllowed", () => {
  it("accepts the names of this machine, the address it listens on and further names, with any port", () => {
    for (const header of [
      "127.0.0.1",
      "localhost:7020",
      "LOCALHOST",
      "[::1]:7020",
      "box.lan:7020",
      "koala.example",
    ])
      expect(hostAllowed(header, { host: "box.lan", allowHosts: ["koala.example"] }), header).toBe(true);
  });

  it("rejects other names, as DNS rebinding sends them, and what is not a host", () => {
    for (const header of [
      "evil.example",
      "127.0.0.1.evil.example",
      "localhost.evil.example:7020",
      "",
      "[::1",
    ])
      expect(hostAllowed(header, { host: "127.0.0.1" }), header).toBe(false);
    expect(hostAllowed("192.168.1.5:7020", { host: "127.0.0.1" })).toBe(false);
  });

  it("accepts any address but no other name if the server listens on all addresses", () => {
    expect(hostAllowed("192.168.1.5:7020", { host: "0.0.0.0" })).toBe(true);
    expect(hostAllowed("[fe80::1]:7020", { host: "::" })).toBe(true);
    expect(hostAllowed("evil.example:7020", { host: "0.0.0.0" })).toBe(false);
  });
});
