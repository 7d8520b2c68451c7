/** @file `koala card` as a process: its header as the Hub reads it, what it counts, and what it refuses. */

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { blockingEngine } from "../../src/engine/ort/blocking-engine.js";
import { loadComponents } from "../../src/pipeline/components.js";
import { convertModel } from "../../src/pipeline/convert/convert.js";
import { modelMetadata } from "../../src/pipeline/metadata/write.js";
import { openSafetensors } from "../../src/weights/safetensors-file.js";
import { done, koala } from "../distill-command.js";
import { startHub } from "../hub-server.js";
import { tinyLora } from "../serving.js";

const scratch = mkdtempSync(path.join(tmpdir(), "koala-card-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const at = (name: string) => path.join(scratch, name);
const write = (name: string, value: unknown) =>
  writeFileSync(at(name), typeof value === "string" ? value : JSON.stringify(value));

cpSync(fileURLToPath(new URL("../data/koala-1b-tiny", import.meta.url)), at("mine"), { recursive: true });
const { fingerprint } = await modelMetadata(await loadComponents(at("mine"), { engine: blockingEngine() }));

const settings = { steps: 4, guidanceScale: 0, width: 64, height: 64, scheduler: "euler" };
const model = {
  label: "mine",
  settings,
  device: "cpu",
  dtype: "float32",
  model: { name: "mine", fingerprint },
};
const app = "koala-diffusion/0.0.0";
const mean = (value: number | string) => ({ mean: value, prompts: 3 });
const evaluation = {
  ...{ format: 1, app, model, seeds: ["0"], prompts: { source: "the set complex", count: 3 } },
  figures: [
    { measure: "clipScore", model: mean(27.123) },
    { measure: "label:noun", model: mean(66.66) },
    { measure: "psnr", model: mean("Infinity") },
  ],
  ...{ categories: [], frechetDistances: [], images: [], warnings: [] },
};
const share = { model: { mean: 75, interval: [50, 100] } };
const probe = {
  ...{
    format: 1,
    app,
    file: "words.yaml",
    model,
    seeds: ["0"],
    questions: {},
    groups: [],
    images: [],
    warnings: [],
  },
  rows: [
    {
      template: "a {noun}",
      prompts: [0],
      question: "noun",
      asAsked: share,
      labels: [{ label: "cat", ...share }],
    },
  ],
};
write("evaluation.json", evaluation);
write("probe.json", probe);
write("other.json", {
  ...evaluation,
  model: { ...model, model: { name: "other", fingerprint: "sha256:0" } },
});

const run = { command: "distill", started: "2026-01-02T03:04:05Z", steps: 40, models: { teacher: "big" } };
const step = { epoch: 0.5, lr: 1e-4, gradNorm: 1, imagesPerSecond: 4, secondsPerStep: 3, time: run.started };
write("mine/run.json", { ...run, options: { trainBatchSize: 6, learningRate: 0.0001, snrGamma: 5 } });
write(
  "mine/metrics.jsonl",
  Array.from({ length: 20 }, (_, i) => `${JSON.stringify({ ...step, step: i + 1, loss: 20 - i })}\n`).join(
    "",
  ),
);

const parts = (text: string) => {
  const [, yaml = "", body = ""] = /^---\n(.*?)---\n(.*)$/s.exec(text) ?? [];
  return { header: parse(yaml), body };
};
const measured = ["--evaluation", at("evaluation.json"), "--probe", at("probe.json")];

describe("koala card", () => {
  it("writes header, parts, training and tables of a trained model, whose text people go on with", async () => {
    const named = [
      "--license",
      "openrail++",
      "--base-model",
      "owner/big",
      "--name",
      "me/mine",
      "--tag",
      "art",
    ];
    const { stderr } = await done("card", at("mine"), ...named, ...measured, "-o", at("mine/README.md"));
    expect(stderr).toContain('to be written by you: "Intended use", "Data", "Limits and bias"');
    const { header, body } = parts(readFileSync(at("mine/README.md"), "utf8"));
    expect(header).toEqual({
      ...{ license: "openrail++", base_model: "owner/big" },
      ...{ pipeline_tag: "text-to-image", library_name: "diffusers" },
      tags: ["stable-diffusion-xl", "distillation", "art"],
      "model-index": [
        {
          name: "me/mine",
          results: [
            {
              task: { type: "text-to-image" },
              dataset: { name: "3 prompts: the set complex", type: "prompts" },
              metrics: [
                { type: "clipScore", name: "CLIP score", value: 27.12 },
                { type: "accuracy-noun", name: "noun, %", value: 66.7 },
              ],
            },
          ],
        },
      ],
    });
    const { tensors } = await openSafetensors(at("mine/unet/diffusion_pytorch_model.safetensors"));
    const weights = [...tensors.values()].reduce(
      (sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1),
      0,
    );
    expect(body).toMatch(
      new RegExp(`\\| unet +\\| UNet2DConditionModel +\\| +${weights.toLocaleString("en")} \\|`),
    );
    // Two of 20 steps are a tenth; 20 steps of 3 s are a minute.
    for (const said of [
      /^- 20 of 10,000 steps of 6 images: 120 images, 0\.5 passes/m,
      /^- 1m00s of steps on cpu/m,
      /^\| snrGamma +\| 5 +\|$/m,
      /^\| loss \| +19\.50 \| +1\.500 \|$/m,
      /^\| PSNR +\| infinite: some images are equal +\|$/m,
      /^\| all +\| +1 \| as asked +\| 75\.0 % \[50\.0, 100\.0\] \|$/m,
    ])
      expect(body).toMatch(said);

    const text = readFileSync(at("mine/README.md"), "utf8").replace(
      /\*To be written: what it was[^*]*\*/,
      "Mine.",
    );
    writeFileSync(at("mine/README.md"), text);
    const refused = await koala("card", at("mine"), "-o", at("mine/README.md"));
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining("or add --force")]);
    const again = await done("card", at("mine"), "-o", at("mine/README.md"), "--force");
    expect(again.stderr).not.toContain('"Data"');
    expect(readFileSync(at("mine/README.md"), "utf8")).toBe(text);
    rmSync(at("mine/README.md"));
  });

  it("takes the licence of the base model's card on the Hub, and guesses none", async () => {
    const commit = "a".repeat(40);
    const card = "---\nlicense: other\nlicense_name: theirs\nlicense_link: LICENSE.md\n---\n";
    const files = new Map([["README.md", Buffer.from(card)]]);
    const hub = await startHub({ "owner/big": { commits: { [commit]: files }, refs: { main: commit } } });
    const before = { ...process.env };
    Object.assign(process.env, { HF_ENDPOINT: hub.url, HF_HOME: at("hub") });
    try {
      const found = await done("card", at("mine"), "--base-model", "owner/big");
      expect(parts(found.stdout).header).toMatchObject({ license: "other", license_name: "theirs" });
      expect(found.stderr).toContain(
        "license: other, from the card of owner/big. Check that it is yours too",
      );
      const none = await koala("card", at("mine"), "--base-model", "owner/none");
      expect([none.code, none.stderr]).toEqual([
        2,
        expect.stringContaining("--license: must be given, got none"),
      ]);
    } finally {
      process.env = before;
      await hub.close();
    }
  });

  it("is of a single file too, without what lies beside it, and of no adapter alone", async () => {
    const file = at("dreams.safetensors");
    await convertModel(at("mine"), file, { engine: blockingEngine() });
    write("README.md", "---\nlicense: mit\n---\nof another");
    const config = at("mine");
    const components = await loadComponents(file, { engine: blockingEngine(), config });
    const { fingerprint: own } = await modelMetadata(components);
    write("of-file.json", {
      ...evaluation,
      model: { ...model, model: { name: "dreams", fingerprint: own } },
    });
    const flags = ["--config", config, "--run", at("mine"), "--evaluation", at("of-file.json")];
    const { stdout } = await done("card", file, "--license", "openrail++", ...flags);
    const { header, body } = parts(stdout);
    expect(header).toMatchObject({ license: "openrail++", tags: ["stable-diffusion-xl", "distillation"] });
    expect(body).toContain('pipe = StableDiffusionXLPipeline.from_single_file("dreams.safetensors")');
    expect(body).toMatch(/\| unet +\| UNet2DConditionModel +\|/);
    expect(body).toContain("- 20 of 10,000 steps of 6 images");
    expect(body).not.toContain("of another");
    const lora = tinyLora.file;
    for (const [model, rule] of [
      [lora, `got an adapter, such as a LoRA. Write that of a model with it merged: koala convert`],
      [
        path.dirname(lora),
        'got a folder with the checkpoint "koala-1b-tiny-diffusers.safetensors". Pass the path',
      ],
    ] as const) {
      const { code, stderr } = await koala("card", model, "--license", "mit");
      expect([code === 0, stderr]).toEqual([false, expect.stringContaining(rule)]);
    }
  });

  it("refuses figures of another model, reports of another command, and other licences without a file", async () => {
    for (const [args, rule] of [
      [["--evaluation", at("other.json")], "must be of this model"],
      [["--probe", at("evaluation.json")], "must be report.json of koala probe"],
      [["--license", "other"], "must come with a file LICENSE in"],
      [["--license", "Apache 2.0"], "must be an id as on the Hub"],
    ] as const) {
      const { code, stderr } = await koala("card", at("mine"), "--license", "mit", ...args);
      expect([code === 0, stderr]).toEqual([false, expect.stringContaining(rule)]);
    }
  });
});
