/** @file The engine in a worker thread. Its end is tested in another process, which a fault would end. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { floats } from "../../../src/engine/engine.js";
import { lower } from "../../../src/engine/lower.js";
import { workerEngine } from "../../../src/engine/ort/worker-engine.js";
import { EngineError } from "../../../src/errors.js";
import { input, matmul } from "../../../src/tensor/operations.js";

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

  const square = () => {
    const x = input("x", [{ n: 1 }, { m: 1 }]);
    return lower("square", { y: matmul(x, x) });
  };

  it("leaves this thread free while it computes", async () => {
    const engine = workerEngine({ threads: 1 });
    const session = await engine.load(square());
    const n = 1500;
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    await session.run({ x: floats(new Float32Array(n * n).fill(1), n, n) });
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(5);
    await engine.close();
  });

  it("names the program that failed", async () => {
    const engine = workerEngine();
    const session = await engine.load(square());
    await expect(session.run({ x: floats(new Float32Array(6), 2, 3) })).rejects.toThrow(/^square: /);
    await engine.close();
  });
});
