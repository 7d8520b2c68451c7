/** @file Lowering: one program for every size, and the same results on every device. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { Generator } from "../diffusion/random.js";
import { knownUnets } from "../models/known.js";
import { traceUnet } from "../models/trace.js";
import { unetConfig } from "../models/unet-config.js";
import { decode, encode, vaeConfig } from "../models/vae.js";
import { add, input, param } from "../tensor/operations.js";
import { Params, tracing } from "../tensor/params.js";
import type { Tensor } from "../tensor/tensor.js";
import { parseHeader } from "../weights/safetensors.js";
import { cpu, inBrowser, standard } from "./device.js";
import { floats, floatsOf, type Values } from "./engine.js";
import { lower } from "./lower.js";
import { blockingEngine } from "./ort/blocking-engine.js";

const tiny = (name: string) =>
  unetConfig(
    JSON.parse(
      readFileSync(new URL(`../../golden/data/pipelines/${name}/unet/config.json`, import.meta.url), "utf8"),
    ),
  );

describe("tracing at two sizes lowers to the same bytes", () => {
  it.each(["SD 2", "SDXL", "KOALA-1B", "KOALA-700M"] as const)("%s", (name) => {
    const c = unetConfig(knownUnets[name]);
    const at = (batch: number, height: number, width: number, tokens: number) =>
      lower("unet", { out: traceUnet(new Params(tracing()), c, { batch, height, width, tokens }) }).model;
    expect(Buffer.compare(at(1, 64, 64, 77), at(2, 37, 101, 154))).toBe(0);
  });

  it("AutoencoderKL, encoder and decoder", () => {
    const c = vaeConfig({
      block_out_channels: [8, 16],
      down_block_types: Array(2).fill("DownEncoderBlock2D"),
      up_block_types: Array(2).fill("UpDecoderBlock2D"),
      norm_num_groups: 4,
    });
    const at = (B: number, H: number, W: number) => {
      const p = new Params(tracing());
      const [image, latents] = [
        input("image", [{ B }, 3, { H: 2 * H }, { W: 2 * W }]),
        input("latents", [{ B }, 4, { h: H }, { w: W }]),
      ];
      return lower("vae", { latents_out: encode(p, c, image), image_out: decode(p, c, latents) }).model;
    };
    expect(Buffer.compare(at(1, 8, 8), at(3, 5, 11))).toBe(0);
  });
});

/** Random weights, and the given inputs. */
function feeds(weights: ReadonlyMap<string, Tensor>, inputs: Record<string, Values>): Record<string, Values> {
  const generator = new Generator(11);
  const drawn = [...weights].map(([path, { shape }]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const fan = shape.length > 1 ? size / shape[0]! : 100;
    return [path, { data: generator.normal(size).map((v) => v / Math.sqrt(fan)), shape }] as const;
  });
  return { ...Object.fromEntries(drawn), ...inputs };
}

describe("fused operators", () => {
  it("agree with the ONNX standard's on a whole U-Net to 1e-5", async () => {
    const c = tiny("koala-1b-tiny");
    const weights = new Map<string, Tensor>();
    const out = traceUnet(new Params(tracing(weights)), c, { batch: 1, height: 9, width: 13, tokens: 77 });
    const generator = new Generator(3);
    const inputs = feeds(weights, {
      sample: floats(generator.normal(4 * 9 * 13), 1, 4, 9, 13),
      timestep: floats(Float32Array.of(501), 1),
      encoder_hidden_states: floats(generator.normal(77 * 72), 1, 77, 72),
      text_embeds: floats(generator.normal(24), 1, 24),
      time_ids: floats(Float32Array.of(72, 104, 0, 0, 72, 104), 1, 6),
    });
    const engine = blockingEngine({ threads: 1 });
    const [fused, plain] = await Promise.all(
      [cpu, standard].map(async (device) =>
        floatsOf((await (await engine.load(lower("unet", { out }, { device }))).run(inputs)).out),
      ),
    );
    const largest = Math.max(...plain!.map(Math.abs));
    const apart = Math.max(...plain!.map((v, i) => Math.abs(v - fused![i]!)));
    expect(apart / largest).toBeLessThan(1e-5);
  });
});

describe("a weight in a file", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "koala-lower-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each([
    ["F8_E4M3", float8("float8_e4m3fn")],
    ["F8_E5M2", float8("float8_e5m2")],
    [
      "F16",
      [
        Uint16Array.of(0x3c00, 0xc000, 0x4200, 0x0001, 0x7bff, 0x3555),
        [1, -2, 3, 2 ** -24, 65504, 0.333251953125],
      ],
    ],
    [
      "BF16",
      [
        Uint16Array.of(0x3f80, 0xc000, 0x4040, 0x7f00, 0x0080, 0x3eab),
        [1, -2, 3, 2 ** 127, 2 ** -126, 0.333984375],
      ],
    ],
  ] as const)(
    "of %s is read where it lies or, for a browser, widened before, exchanged and scaled by rows",
    async (dtype, [stored, numbers]) => {
      const bytes = new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
      await writeFile(path.join(folder, dtype), Buffer.concat([Buffer.alloc(64), bytes]));
      const columns = numbers.length / 2;
      const w = param("w", [columns, 2]);
      const place = { location: dtype, offset: 64, length: bytes.length };
      const weight = {
        dtype,
        shape: w.shape,
        transposed: true,
        scale: Float32Array.of(...scales(columns)),
      };
      const engine = blockingEngine({ threads: 1 });
      const outputs = { out: add(w, input("x", [columns, 2])) };
      const inFile = lower("w", outputs, { weights: new Map([["w", { ...weight, ...place }]]), folder });
      const held = new Map([["w", { ...weight, data: bytes.slice() }]]);
      const inMemory = lower("w", outputs, { weights: held, device: inBrowser(cpu) });
      for (const program of [inFile, inMemory]) {
        const session = await engine.load(program);
        const zeros = floats(new Float32Array(2 * columns), columns, 2);
        const out = floatsOf((await session.run({ x: zeros })).out);
        const expected = [...out].map((_, i) => {
          const [row, column] = [i >> 1, i & 1];
          return Math.fround(numbers[column * columns + row]! * scales(columns)[row]!) + 0; // -0 + 0 is 0
        });
        expect([...out]).toEqual(expected);
      }
      const files = lower("w", outputs, {
        weights: new Map([["w", { ...weight, ...place }]]),
        ...{ folder, device: inBrowser(cpu) },
      });
      const isHalf = dtype === "F16";
      expect(files.files).toEqual(isHalf ? [dtype] : undefined);
      expect(files.widened?.get("w")).toEqual(isHalf ? undefined : { dtype, ...place });
    },
  );
});

/** One factor per row, exact in float32. */
const scales = (rows: number) => Array.from({ length: rows }, (_, row) => (row % 2 ? 0.5 : 2));

/** All finite codes, and PyTorch's numbers of them. */
function float8(name: string): [Uint8Array, number[]] {
  const file = readFileSync(new URL("../../golden/data/single/float8.safetensors", import.meta.url));
  const { tensors } = parseHeader(file, file.length, "float8");
  const at = tensors.get(`${name}.float32`)!;
  const numbers = new Float32Array(
    file.buffer.slice(file.byteOffset + at.offset, file.byteOffset + at.offset + at.length),
  );
  const finite = [...numbers.keys()].filter((code) => Number.isFinite(numbers[code]));
  return [Uint8Array.from(finite), finite.map((code) => numbers[code]!)];
}
