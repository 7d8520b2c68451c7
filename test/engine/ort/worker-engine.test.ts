/** @file An engine in a thread of its own: the end of the thread, in a process of its own that a fault would end. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { workerEngine } from "../../../src/engine/ort/worker-engine.js";
import { EngineError } from "../../../src/errors.js";

const built = new URL("../../../dist/engine/ort/worker-engine.js", import.meta.url).href;

describe("an engine in a thread", () => {
  it("can be closed while the thread loads ONNX Runtime", async () => {
    const code = `
      import { workerEngine } from ${JSON.stringify(built)};
      for (let ms = 0; ms < 100; ms += 10) {
        const engine = workerEngine();
        await new Promise((resolve) => setTimeout(resolve, ms));
        await engine.close();
      }
      console.log("all closed");`;
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", code]);
    expect(stdout).toBe("all closed\n");
  });

  it("throws EngineErrors that name the program once it is closed", async () => {
    const engine = workerEngine();
    await engine.close();
    const program = { name: "unet", model: new Uint8Array(0) };
    await expect(engine.load(program)).rejects.toBeInstanceOf(EngineError);
    await expect(engine.load(program)).rejects.toThrow(/^unet: internal: the engine thread was called after/);
  });
});
