/** @file LoRAs on real folders: which weights they change and by how much, and which are refused. */

import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { Generator } from "../../src/diffusion/random.js";
import { EulerDiscreteScheduler } from "../../src/diffusion/schedulers/euler.js";
import { blockingEngine } from "../../src/engine/ort/blocking-engine.js";
import { sgmNames } from "../../src/models/sgm.js";
import { traceUnet } from "../../src/models/trace.js";
import { unetConfig } from "../../src/models/unet-config.js";
import { loadComponents } from "../../src/pipeline/components.js";
import { type Lora, layerNames, loraChanges } from "../../src/pipeline/lora.js";
import { DiffusionPipeline } from "../../src/pipeline/pipeline.js";
import { changedWeights } from "../../src/pipeline/weight-changes.js";
import { manifest } from "../../src/tensor/params.js";
import { resolveWeights } from "../../src/weights/component.js";
import { serialize, type TensorData } from "../../src/weights/safetensors.js";
import { openSafetensors } from "../../src/weights/safetensors-file.js";

const golden = new URL("../../golden/data", import.meta.url).pathname;
const folder = (name: string) => path.join(golden, "pipelines", name);
const [diffusers, kohya] = ["diffusers", "kohya"].map((naming) =>
  path.join(folder("lora"), `koala-1b-tiny-${naming}.safetensors`),
) as [string, string];
const scratch = realpathSync(mkdtempSync(path.join(tmpdir(), "koala-lora-")));
afterAll(() => rmSync(scratch, { recursive: true }));

let files = 0;
const generator = new Generator(5);
const drawn = (...shape: number[]): TensorData => ({
  dtype: "F32",
  shape,
  data: generator.normal(shape.reduce((a, b) => a * b, 1)),
});

/** A safetensors file of these tensors. */
function written(tensors: Record<string, TensorData>): string {
  const file = path.join(scratch, `${files++}.safetensors`);
  writeFileSync(file, serialize(new Map(Object.entries(tensors))));
  return file;
}

async function opened<T>(
  name: string,
  loras: Lora[],
  use: (pipe: DiffusionPipeline) => Promise<T>,
): Promise<T> {
  const pipe = await DiffusionPipeline.fromPretrained(folder(name), { threads: 1, loras });
  try {
    return await use(pipe);
  } finally {
    await pipe.close();
  }
}

describe("what is added", () => {
  const weights = {
    "linear.weight": drawn(3, 5),
    "conv.weight": drawn(4, 2, 3, 3),
    "point.weight": drawn(3, 2, 1, 1),
    "other.weight": { dtype: "F16", shape: [2, 2], data: Uint16Array.of(1, 2, 3, 4) } as TensorData,
  };
  const layer = (name: string, down: TensorData, up: TensorData) => ({
    [`unet.${name}.lora_A.weight`]: down,
    [`unet.${name}.lora_B.weight`]: up,
  });
  const first = {
    ...layer("linear", drawn(2, 5), drawn(3, 2)),
    ...layer("conv", drawn(2, 2, 3, 3), drawn(4, 2, 1, 1)),
    ...layer("point", drawn(1, 2), drawn(3, 1)),
  };
  const second = layer("linear", drawn(4, 5), drawn(3, 4));

  /** The weights after `loras`. */
  async function after(loras: Lora[]): Promise<Map<string, Float32Array>> {
    const set = await resolveWeights(written(weights));
    const told = (message: string) => expect.fail(message);
    const changes = (await loraChanges(loras, [{ name: "unet", weights: set }], told)).get("unet")!;
    const held = await changedWeights(set, changes, blockingEngine({ threads: 1 }));
    expect(held.get("other.weight")).toEqual({ dtype: "F16", data: Uint8Array.of(1, 0, 2, 0, 3, 0, 4, 0) });
    const float = ({ buffer, byteOffset }: Uint8Array<ArrayBuffer>, n: number) =>
      new Float32Array(buffer, byteOffset, n);
    return new Map(
      ["linear", "conv", "point"].map((n) => {
        const { data } = held.get(`${n}.weight`)!;
        return [n, float(data, data.byteLength / 4)];
      }),
    );
  }

  /** W[o, i] + scale * sum over r of up[o, r] down[r, i], in double precision. */
  function plus(
    name: string,
    w: ArrayLike<number>,
    from: Record<string, TensorData>,
    scale: number,
  ): number[] {
    const [down, up] = ["A", "B"].map((s) => from[`unet.${name}.lora_${s}.weight`]!) as [
      TensorData,
      TensorData,
    ];
    const [rank, out] = [down.shape[0]!, up.shape[0]!];
    const width = w.length / out;
    const at = (t: TensorData, i: number) => (t.data as Float32Array)[i]!;
    return Array.from(w, (value, k) => {
      const [o, i] = [Math.floor(k / width), k % width];
      let sum = value;
      for (let r = 0; r < rank; r++) sum += scale * at(up, o * rank + r) * at(down, r * width + i);
      return sum;
    });
  }
  const plain = (name: string) => weights[`${name}.weight` as "linear.weight"].data as Float32Array;
  const expectClose = (got: ArrayLike<number>, wanted: readonly number[]) => {
    expect(got.length).toBe(wanted.length);
    expect(Math.max(...wanted.map((w, i) => Math.abs(w - got[i]!)))).toBeLessThan(5e-6);
  };

  it("is scale * up @ down: to a matrix, a 3x3 convolution, and a 1x1 one given as a matrix", async () => {
    const got = await after([{ file: written(first), scale: 0.7 }]);
    for (const name of ["linear", "conv", "point"])
      expectClose(got.get(name)!, plus(name, plain(name), first, 0.7));
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])(
    "is refused by its file where that holds %s",
    async (value) => {
      for (const side of ["A", "B"]) {
        const broken = structuredClone(first);
        (broken[`unet.conv.lora_${side}.weight`]!.data as Float32Array)[3] = value;
        const file = written(broken);
        await expect(after([{ file }])).rejects.toThrow(
          `${file}: must hold finite numbers, got ${value} for conv.weight. Use another LoRA.`,
        );
      }
    },
  );

  it("of two files at once is the sum", async () => {
    const got = await after([
      { file: written(first), scale: 0.7 },
      { file: written(second), scale: -1.3 },
    ]);
    expectClose(
      got.get("linear")!,
      plus("linear", plus("linear", plain("linear"), first, 0.7), second, -1.3),
    );
    expectClose(got.get("conv")!, plus("conv", plain("conv"), first, 0.7));
  });

  it("takes a file twice", async () => {
    const file = written(first);
    const got = await after([{ file }, { file, scale: 0.5 }]);
    expectClose(got.get("linear")!, plus("linear", plain("linear"), first, 1.5));
  });
});

describe("a layer is found", () => {
  it("by its name in Diffusers and in sgm", async () => {
    const at = path.join(folder("koala-1b-tiny"), "unet");
    const config = unetConfig(JSON.parse(readFileSync(path.join(at, "config.json"), "utf8")));
    const names = layerNames({ name: "unet", weights: await resolveWeights(at), config });
    const block = "transformer_blocks_0_attn1_to_q";
    const weight = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight";
    expect(names.get(`down_blocks_1_attentions_0_${block}`)).toBe(weight);
    expect(names.get(`input_blocks_3_1_${block}`)).toBe(weight);
    expect(names.get(`input_blocks_4_1_${block}`)).toBeUndefined(); // where SDXL has it
  });
});

describe("a LoRA of SDXL on a model that was cut from it", () => {
  const at = path.join(folder("koala-1b-tiny"), "unet");
  const json = JSON.parse(readFileSync(path.join(at, "config.json"), "utf8"));
  const whole = unetConfig({ ...json, layers_per_block: 2, transformer_layers_per_block: [0, 2, 10] });
  const shapes = manifest((p) => traceUnet(p, whole));
  const attention = [...shapes].filter(([name]) => /attn\d\.to_.*\.weight$/.test(name));
  const named = (naming: (path: string) => [down: string, up: string]) =>
    written(
      Object.fromEntries(
        attention.flatMap(([name, [out, inner]]) => {
          const [down, up] = naming(name.slice(0, -".weight".length));
          return [
            [down, drawn(1, inner!)],
            [up, drawn(out!, 1)],
          ];
        }),
      ),
    );
  const sgm = sgmNames(whole);
  const files = {
    Diffusers: named((at) => [`unet.${at}.lora_A.weight`, `unet.${at}.lora_B.weight`]),
    kohya: named((at) => {
      const stem = `lora_unet_${sgm(at)!.replaceAll(".", "_")}`;
      return [`${stem}.lora_down.weight`, `${stem}.lora_up.weight`];
    }),
  };

  it.each(Object.entries(files))(
    "changes the layers that Diffusers changes, in %s's names",
    async (_, file) => {
      const networks = [{ name: "unet", weights: await resolveWeights(at), config: unetConfig(json) }];
      const told: string[] = [];
      const changes = await loraChanges([{ file }], networks, (message) => told.push(message));
      const changed = [...changes.get("unet")!.keys()].sort();
      // Diffusers 0.42.1 with peft: 240 of 560, by the hash of their names.
      expect(changed).toHaveLength(240);
      expect(createHash("sha256").update(changed.join("\n")).digest("hex")).toBe(
        "3fa66307bcb68d7a845293b15bd7e25605abd56f3575482ec2ea121a69d33f09",
      );
      expect(told).toEqual([
        expect.stringMatching(
          /^\d+\.safetensors: 320 of its 560 layers are not in this model and were left out: "/,
        ),
      ]);
    },
  );

  it("says so in the opened model, of text encoders too", async () => {
    const clip = "text_encoder.text_model.encoder.layers";
    const layer = (i: number) => ({
      [`${clip}.${i}.self_attn.q_proj.lora_A.weight`]: drawn(1, 32),
      [`${clip}.${i}.self_attn.q_proj.lora_B.weight`]: drawn(32, 1),
    });
    const file = written({ ...layer(0), ...layer(50), "bundle_emb.sks.clip_l": drawn(1, 32) });
    const { warnings } = await loadComponents(folder("koala-1b-tiny"), {
      engine: blockingEngine({ threads: 1 }),
      loras: [{ file }],
    });
    const name = path.basename(file);
    expect(warnings).toEqual([
      `${name}: 1 of its 2 layers are not in this model and were left out: ` +
        `"${clip}.50.self_attn.q_proj.lora_A.weight"; it was trained for another model`,
      `${name}: its embedding "sks" was left out, and its layers are used; give it as an embedding too, under that name, to use it`,
    ]);
  });
});

describe("an image", () => {
  const run = {
    prompt: "a red bicycle beside a yellow wall, long blue shadows",
    negativePrompt: "worst quality, low quality, illustration, low resolution",
    width: 104,
    height: 72,
    numInferenceSteps: 3,
    guidanceScale: 3.5,
    outputType: "latent",
  } as const;
  const latents = (loras: Lora[]) =>
    opened("koala-1b-tiny", loras, async (pipe) => {
      pipe.scheduler = EulerDiscreteScheduler.fromConfig(pipe.scheduler.config, {
        timestepSpacing: "trailing",
      });
      return (await pipe.generate({ ...run, generator: new Generator(42n) })).latents;
    });
  const apart = (a: Float32Array, b: Float32Array) =>
    Math.max(...a.map((v, i) => Math.abs(v - b[i]!))) / Math.max(...b.map(Math.abs));

  it("with a file twice at half its scale is Diffusers' with the file once", async () => {
    const half = { file: kohya, scale: 0.5 };
    const file = await openSafetensors(path.join(golden, "runs/koala-1b-tiny/lora-kohya-1.0.safetensors"));
    const wanted = await file.readFloats("final_latents");
    expect(apart(await latents([half, half]), wanted)).toBeLessThan(1e-4);
    expect(apart(await latents([half]), wanted)).toBeGreaterThan(1e-2);
  });

  it("with a file at scale 0 is the image without it", async () => {
    expect(await latents([{ file: diffusers, scale: 0 }])).toEqual(await latents([]));
  });

  it("of a sharded half-precision model is the same if nothing is added to a weight", async () => {
    const name = "conv_in";
    const lora = written({
      [`unet.${name}.lora_A.weight`]: drawn(1, 4, 3, 3),
      [`unet.${name}.lora_B.weight`]: { ...drawn(16, 1, 1, 1), data: new Float32Array(16) },
    });
    const request = { prompt: "a boat", width: 64, height: 64, numInferenceSteps: 1, seed: 3 };
    const run = (loras: Lora[]) =>
      opened("koala-700m-tiny", loras, async (pipe) => (await pipe.generate(request)).latents);
    expect(await run([{ file: lora }])).toEqual(await run([]));
  });
});

describe("a LoRA is refused", () => {
  const refusal = (name: string, lora: Lora) =>
    DiffusionPipeline.fromPretrained(folder(name), { threads: 1, loras: [lora] });

  it("of which nothing fits, by its names", async () => {
    const file = written({
      "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": drawn(1, 4),
      "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": drawn(4, 1),
    });
    await expect(refusal("sd2-tiny", { file })).rejects.toThrow(
      /: 1 keys, of 1 layers, fit nothing in this model: "lora_te2_.*"\. Use a LoRA that was trained for this model/,
    );
  });

  it("that was trained for a model of other widths", async () => {
    await expect(refusal("koala-700m-tiny", { file: diffusers })).rejects.toThrow(
      /koala-1b-tiny-diffusers\.safetensors: unet\..*: must fit .* of \[32, 32\], got down \[4, 24\] and up \[24, 4\]/,
    );
    await expect(refusal("sd2-tiny", { file: kohya })).rejects.toThrow(/: must fit .* Use a LoRA that was/);
  });

  it("one of whose layers has another shape", async () => {
    const file = written({
      "unet.conv_in.lora_A.weight": drawn(1, 9, 3, 3),
      "unet.conv_in.lora_B.weight": drawn(16, 1),
    });
    await expect(refusal("koala-1b-tiny", { file })).rejects.toThrow(
      "unet.conv_in.lora_A.weight: must fit conv_in.weight of [16, 4, 3, 3], got down [1, 9, 3, 3] and up [16, 1]",
    );
  });

  it("one of whose keys means nothing", async () => {
    const file = written({
      "unet.conv_in.lora_A.weight": drawn(1, 4, 3, 3),
      "unet.conv_in.lora_B.weight": drawn(16, 1, 1, 1),
      "unet.conv_in.strange": drawn(1),
    });
    await expect(refusal("koala-1b-tiny", { file })).rejects.toThrow(
      'fit nothing in this model: "unet.conv_in.strange"',
    );
  });

  it("at a scale that is no number", async () => {
    await expect(refusal("koala-1b-tiny", { file: kohya, scale: Number.NaN })).rejects.toThrow(
      "loras: scale: must be a finite number, got NaN",
    );
  });
});
