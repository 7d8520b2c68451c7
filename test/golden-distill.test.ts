/** @file The conformance tool on distillation's golden data: it fails on every kind of difference. */

import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { main } from "../golden/main.js";
import { change, replace } from "./change.js";

const data = fileURLToPath(new URL("../golden/data", import.meta.url));
const slow = 600_000;

/** Runs the tool over copies of `names`, changed by `edit`. */
async function golden(names: readonly string[], edit: (at: (name: string) => string) => Promise<void>) {
  const root = await mkdtemp(path.join(tmpdir(), "golden-distil-"));
  const at = (name: string) => path.join(root, "distil", name);
  try {
    await mkdir(path.join(root, "distil"));
    for (const name of names) await cp(path.join(data, "distil", name), at(name), { recursive: true });
    await edit(at);
    const lines: string[] = [];
    const code = await main([root], (text) => lines.push(text));
    return { code, lines, text: lines.join("\n") };
  } finally {
    await rm(root, { recursive: true });
  }
}

const pair = (name: string) => [`${name}.json`, `${name}.safetensors`];
const nothing = async () => {};

const stepFiles = ["", ".grads", ".grads-sa", ".grads-terms"].map((e) => `step-700m${e}.safetensors`);
const trainFiles = ["weights-step1", "weights-step5", "ema-step5", "some"].map(
  (e) => `train-700m.${e}.safetensors`,
);
const nets = ["teacher", "student-init-700m"];

describe("npm run golden fails", () => {
  it("if one number of a table, an operation or an autoencoder is changed, and names it", async () => {
    const names = [...["schedule", "ema", "captions", "ops", "vae-kl", "vae-tiny"].flatMap(pair), "lr.json"];
    const { code, text } = await golden([...names, "vae-kl", "vae-tiny"], async (at) => {
      await change(at("schedule.safetensors"), "min_snr_5_v_prediction");
      await change(at("ema.safetensors"), "ema/warmup_power_34");
      await change(at("captions.safetensors"), "empty_string/pooled");
      await change(at("ops.safetensors"), "conv2d.3/d_weight");
      await change(at("vae-kl.safetensors"), "grad_kl/encoder.conv_in.weight");
      await change(at("vae-tiny.safetensors"), "reconstruction");
      await replace(at("lr.json"), "0.0006", "0.0007");
    });
    const wrong = [
      "min_snr_5_v_prediction: ",
      "ema/warmup_power_34: ",
      "empty_string/pooled: must be equal",
      "conv2d.3/d_weight: ",
      "grad_kl/encoder.conv_in.weight: ",
      "reconstruction: ",
      '{"name":',
    ];
    for (const name of wrong) expect(text).toContain(`first out: ${name}`);
    expect(text).toContain(", 7 FAIL");
    expect(code).toBe(1);
  });

  it("if one source, pair or initial weight of a student is changed, and names it", async () => {
    const names = ["mapping-700m.json", "features-700m.json", "student-init-700m", "teacher"];
    const { code, text } = await golden(names, async (at) => {
      await replace(
        at("mapping-700m.json"),
        '"up_blocks.0.resnets.2.conv1.bias"',
        '"up_blocks.0.resnets.1.conv1.bias"',
      );
      await replace(at("features-700m.json"), "up_blocks.1.attentions.2.", "up_blocks.1.attentions.1.");
      await change(at("student-init-700m/diffusion_pytorch_model.safetensors"), "mid.not.there").catch(
        () => {},
      );
      await change(at("student-init-700m/diffusion_pytorch_model.safetensors"), "conv_out.weight");
    });
    expect(text).toContain("first out: up_blocks.0.resnets.1.conv1.bias: must be ");
    expect(text).toContain("first out: conv_out.weight: must be equal, differs in 1 of ");
    expect(text).toMatch(/first out: .*: must be "UP-2: .*attentions\.1\..*got "UP-2: .*attentions\.2\./);
    expect(text).toContain("0 ok, 3 FAIL");
    expect(code).toBe(1);
  });

  it(
    "if one number of a stage of trajectories or of normalised features is changed",
    async () => {
      const kinds = ["trajectory", "normalised"];
      const names = kinds.flatMap((kind) => [...pair(`${kind}-700m`), `${kind}-inputs.safetensors`]);
      const { code, text } = await golden([...names, ...nets], async (at) => {
        await change(at("trajectory-700m.safetensors"), "x_middle");
        await change(at("trajectory-700m.safetensors"), "few/eps/conv_in.weight");
        await replace(at("normalised-700m.json"), '"ratio": 0.067', '"ratio": 0.068');
      });
      for (const name of [
        "x_middle: ",
        "(gradients): ",
        "down_blocks.1.attentions.0.transformer_blocks.0.attn1",
      ])
        expect(text).toContain(`first out: ${name}`);
      expect(text).toContain("4 ok, 3 FAIL, 2 not covered");
      expect(code).toBe(1);
    },
    slow,
  );

  it(
    "if one number of a step or of training is changed, and names it",
    async () => {
      const names = ["step-700m.json", "step-inputs.safetensors", ...stepFiles, ...nets];
      const training = ["train-700m.json", "train-batches.safetensors", ...trainFiles];
      const parameter = "up_blocks.2.resnets.1.time_emb_proj.weight";
      const { code, text } = await golden([...names, ...training], async (at) => {
        await change(at("step-700m.safetensors"), "activation/down_blocks.1");
        await change(at("step-700m.safetensors"), "activation_grad/up_blocks.0");
        await change(at("step-700m.grads.safetensors"), "down_blocks.1.resnets.0.conv1.weight");
        await change(at("step-700m.grads-sa.safetensors"), "conv_out.bias");
        await change(at("step-700m.grads-terms.safetensors"), `out/${parameter}`);
        await replace(at("step-700m.json"), '"feat_lf"', '"feat_lx"');
        await change(at("train-700m.weights-step1.safetensors"), "conv_in.bias");
        await change(at("train-700m.some.safetensors"), `clip_1/grad_step1/${parameter}`);
        await change(at("train-700m.some.safetensors"), `accumulate_2/grad_last/${parameter}`);
        await change(at("train-700m.some.safetensors"), `features_sa_only/weights/${parameter}`);
        await replace(at("train-700m.json"), '"lr": 0.00075', '"lr": 0.00074');
      });
      const wrong = [
        "activation/down_blocks.1: ",
        "activation_grad/up_blocks.0: ",
        "feat_lx: is in the golden data",
        "down_blocks.1.resnets.0.conv1.weight: ",
        "conv_out.bias: ",
        `out/${parameter}: `,
        "weights-step1 conv_in.bias: ",
        `clip_1/grad_step1/${parameter}: `,
        `accumulate_2/grad_last/${parameter}: `,
        `features_sa_only/weights/${parameter}: `,
        "update 4: lr: ",
      ];
      for (const name of wrong) expect(text).toContain(`first out: ${name}`);
      // The gradients are compared with two programs: the whole one and the checkpointed one.
      expect(text).toContain("2 ok, 12 FAIL");
      expect(code).toBe(1);
    },
    slow,
  );

  it("if a table of contents has no tensors, and if a file belongs to no check", async () => {
    const owners = ["schedule", "ema", "captions", "ops", "step-700m", "train-700m", "vae-kl", "vae-tiny"];
    const { code, text } = await golden(
      [...owners.map((name) => `${name}.json`), "mapping-700m.json"],
      async (at) => {
        await writeFile(at("more.json"), "{}");
      },
    );
    expect(text.match(/inputs absent: /g)).toHaveLength(owners.length + 1);
    expect(text).toContain("this tool does not know what is in more.json");
    expect(text).toContain("0 ok, 10 FAIL");
    expect(code).toBe(1);
  });

  it("not for tensors without a table of contents: they are no check", async () => {
    const { code, lines } = await golden(["lr.json", "README.md", "ops.safetensors"], nothing);
    expect(lines.filter((text) => /distil\//.test(text))).toEqual([
      expect.stringMatching(/^ok {4}distil\/lr /),
    ]);
    expect(code).toBe(0);
  });
});
