/** @file Checks of Redis addresses, which repeat nothing of them, and outages by Redis' messages. */

import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { InvalidRequest } from "../../errors.js";
import { addressOf, checkUrl } from "./address.js";
import { outageOf } from "./outage.js";

describe("an address of Redis", () => {
  it("may name a user, a password, a port and a database", () => {
    for (const url of [
      "redis://localhost",
      "redis://127.0.0.1:6379/3",
      "rediss://user:p%40ss%2Fw%23@redis.example:6380",
      "redis://:secret@[::1]:6379",
    ])
      expect(() => checkUrl(url)).not.toThrow();
    expect(addressOf("redis://user:secret@redis.example:6380/2")).toBe("redis://redis.example:6380/2");
  });

  it.each([
    "hunter2",
    "user:hunter2@127.0.0.1:6379",
    "hunter2://127.0.0.1",
    "http://:hunter2@127.0.0.1",
    "redis://user:hunter2#@127.0.0.1:6379",
    "redis://user:12/hunter2@127.0.0.1:6379",
    "redis://user:12#hunter2@127.0.0.1:6379",
    "redis://hunter2:12?x@127.0.0.1:6379",
    "redis://user:hunter2%zz@127.0.0.1:6379",
    "redis://user:hunter2@127.0.0.1:99999",
    "redis://user:hunter2@",
  ])("that cannot be used is refused without a part of its password: %s", (url) => {
    let error: unknown;
    try {
      checkUrl(url);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(InvalidRequest);
    expect(String(error)).toMatch(/^InvalidRequest: redis: must be an address such as redis:\/\/127/);
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain("hunter2");
  });
});

describe("what Redis says", () => {
  // The texts are Redis 7's own, and 6.2's of a command in a script.
  it.each([
    ["OOM command not allowed when used memory > 'maxmemory'.", "full", /full/],
    [
      "ERR Error running script (call to f_37): @user_script: 1: -OOM command not allowed when used",
      "full",
      /full/,
    ],
    [
      "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist",
      "later",
      /disk/,
    ],
    ["READONLY You can't write against a read only replica.", "later", /replica/],
    ["connect EMFILE 127.0.0.1:6379 - Local (undefined:undefined)", "later", /too many files are open/],
    ["LOADING Redis is loading the dataset in memory", "later", /reads its data/],
    ["BUSY Redis is busy running a script. You can only call SCRIPT KILL", "later", /script/],
    ["ERR max number of clients reached", "later", /clients/],
    ["NOAUTH Authentication required.", "refuses", /password/],
    ["WRONGPASS invalid username-password pair or user is disabled.", "refuses", /password/],
    ["NOPERM User x has no permissions to run the 'evalsha' command", "refuses", /user/],
    ["ERR DB index is out of range", "refuses", /database/],
    ["MOVED 3999 127.0.0.1:6381", "refuses", /Cluster/],
    ['Unknown RESP type 72 "H". Please report this.', "refuses", /an answer that is not Redis's/],
    ["connect ECONNREFUSED 127.0.0.1:6379", "silent", /no answer/],
    ["getaddrinfo ENOTFOUND redis", "silent", /no answer/],
    ["Connection is closed.", "silent", /no answer/],
    ["self-signed certificate in certificate chain", "refuses", /certificate/],
  ])("%s", (message, kind, got) => {
    expect(outageOf(new Error(message))).toMatchObject({ kind, got: expect.stringMatching(got) });
  });

  it("of a transaction is that of its commands, not that it was discarded", () => {
    const previousErrors = [new Error("OOM command not allowed when used memory > 'maxmemory'.")];
    const error = Object.assign(new Error("EXECABORT Transaction discarded"), { previousErrors });
    expect(outageOf(error)).toMatchObject({ kind: "full" });
  });

  it("of a wrong command is no outage", () => {
    for (const message of ["WRONGTYPE Operation against a key", "ERR value is not an integer", "it broke"])
      expect(outageOf(new Error(message))).toBeUndefined();
  });
});
