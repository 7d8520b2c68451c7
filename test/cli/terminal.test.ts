/** @file How the command line prints errors (ours and the system's in a line, bugs with their stack), and is stopped. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { access } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { errorText } from "../../src/cli/terminal.js";
import { EngineError, FileError, InvalidRequest, ModelError, ShapeError } from "../../src/errors.js";
import { goldenModel } from "../serving.js";

const thrown = (work: Promise<unknown>) => work.then(String, (error: unknown) => error);

describe("errorText", () => {
  it("prints our errors by their message alone", () => {
    const errors = [
      new InvalidRequest("width", 7, "must be a multiple of 8, got 7."),
      new ModelError("a.json", "must be JSON."),
      new FileError("/x", "EROFS", "must be writable, got EROFS."),
      new ShapeError("unet", "does not fit"),
      new EngineError("unet", new Error("failed")),
    ];
    for (const error of errors) expect(errorText(error)).toBe(error.message);
  });

  it("prints a system error about a file with path, code and remedy, whatever code threw it", async () => {
    expect(errorText(await thrown(access("/absent/x")))).toBe(
      "/absent/x: must be usable, got ENOENT (no such file or directory). Check the path.",
    );
  });

  it("prints a system error about a connection in a line of its own", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    const refused = await thrown(once(connect(port, "127.0.0.1"), "connect"));
    expect(errorText(refused)).toBe(`connect ECONNREFUSED 127.0.0.1:${port}`);
  });

  it("prints a bug with its stack, and a thrown value that is no error as it is", () => {
    const bug = new TypeError("x is not a function");
    expect(errorText(bug)).toBe(bug.stack);
    expect(bug.stack).toMatch(/\n {4}at /);
    expect(errorText("text")).toBe("text");
  });
});

it("a second Ctrl-C ends a command within a step, as the signal does by itself", async () => {
  const main = new URL("../../dist/cli/main.js", import.meta.url).pathname;
  const folder = mkdtempSync(path.join(tmpdir(), "koala-stop-"));
  const args = ["generate", "x", "--model", goldenModel, "-W", "1024", "-H", "1024", "--steps", "20"];
  const child = spawn(process.execPath, [main, ...args, "--ignore-memory", "-o", "x.png"], { cwd: folder });
  let said = "";
  let sent = 0;
  child.stderr.on("data", (data: Buffer) => {
    said += data;
    if ([/^seed /m, /^stopping /m][sent]?.test(said)) child.kill(sent++ === 0 ? "SIGINT" : "SIGTERM");
  });
  expect(await once(child, "exit")).toEqual([null, "SIGTERM"]);
  expect(said).not.toMatch(/terminate/);
  rmSync(folder, { recursive: true });
});
