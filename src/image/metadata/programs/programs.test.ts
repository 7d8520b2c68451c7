/** @file Settings in the forms in which other programs write them, each after its program's public source. */

import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { cpuSeconds, linear } from "../../../../test/cpu-seconds.js";
import { Generator } from "../../../diffusion/random.js";
import { fileTexts } from "../file-texts.js";
import { parseParameters } from "../parameters.js";
import { settingsIn } from "./programs.js";

const found = (texts: Record<string, string>) => settingsIn(new Map(Object.entries(texts)));
const read = (texts: Record<string, string>) => {
  const { program, parameters } = found(texts)!;
  return { program, ...parameters, fields: Object.fromEntries(parameters.fields) };
};
const inFile = async (name: string) =>
  settingsIn((await fileTexts(await readFile(new URL(`../testdata/${name}`, import.meta.url))))!);

const cat = { prompt: "a cat", negativePrompt: "dog" };

describe("a text in A1111's grammar", () => {
  it.each([
    // processing.py of A1111, with lines that Dynamic Prompts adds
    [
      "Steps: 20, Sampler: Euler a, Seed: 1\nTemplate: a {cat|dog}\nNegative Template: x",
      "AUTOMATIC1111 or a program like it",
    ],
    ["Steps: 20, Sampler: Euler a, Seed: 1, Version: f2.0.1v1.10.1-previous-665-gae278f79", "Forge"],
    ["Steps: 20, Size: 512x512, Sampler: Euler a, Seed: 1, App: SD.Next, Version: 30a5f1c", "SD.Next"],
    [
      "Steps: 20, CFG scale: 7.000000, Guidance: 3.500000, Eta: 0.000000, Seed: 1, Size: 512x512, RNG: cuda, Sampler: dpm++2m karras, Version: stable-diffusion.cpp",
      "stable-diffusion.cpp",
    ],
  ])("%s is by %s", (last, program) => {
    expect(read({ parameters: `a cat\nNegative prompt: dog\n${last}` })).toMatchObject({
      program,
      ...cat,
      fields: { Steps: "20", Seed: "1" },
    });
  });

  it("may stand in any of the texts that programs use for it", () => {
    const text = "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, Seed: 1";
    for (const name of ["parameters", "UserComment", "XPComment", "Description", "Comment"])
      expect(read({ [name]: text })).toMatchObject(cat);
  });

  it("is no caption with colons", () => {
    expect(found({ Description: "year: 2023, artist: x, rating: general, place: Rome" })).toBeUndefined();
  });

  it.each(["template-after-steps.png", "newline-in-value.png"])(
    "has its settings before its end in %s",
    async (file) => {
      expect((await inFile(file))!.parameters).toMatchObject({
        prompt: "a cat",
        negativePrompt: "ugly, bad",
      });
      const { fields } = (await inFile(file))!.parameters;
      expect([fields.get("Steps"), fields.get("Seed"), fields.get("Version")]).toEqual([
        "3",
        "1234567890123",
        "v1.9.0",
      ]);
      expect([
        fields.get("Wildcard prompt"),
        fields.get("Template"),
        fields.get("Negative Template"),
      ]).toEqual(
        file.startsWith("new") ? ["a\nb", undefined, undefined] : [undefined, "a {cat|dog}", "ugly"],
      );
    },
  );
});

describe("JSON of", () => {
  const sizes = { Steps: "28", "CFG scale": "6.5", Seed: "7", Size: "832x1216" };
  const plain = { width: 832, height: 1216, seed: 7, steps: 28 };

  it("Fooocus, whose size is a tuple of Python", () => {
    // modules/meta_parser.py, FooocusMetadataParser
    const json = {
      base_model: "juggernautXL_v8Rundiffusion",
      guidance_scale: 6.5,
      loras: [["sd_xl_offset", 0.1, "4852686128"]],
      metadata_scheme: "fooocus",
      negative_prompt: "dog",
      prompt: "a cat",
      resolution: "(832, 1216)",
      sampler: "dpmpp_2m_sde_gpu",
      scheduler: "karras",
      seed: "7",
      sharpness: 2,
      steps: 28,
      styles: "['Fooocus V2']",
      vae: "Default (model)",
      version: "Fooocus v2.5.5",
    };
    expect(read({ parameters: JSON.stringify(json), fooocus_scheme: "fooocus" })).toEqual({
      program: "Fooocus",
      ...cat,
      fields: {
        ...sizes,
        Sampler: "dpmpp_2m_sde_gpu",
        "Schedule type": "karras",
        Model: "juggernautXL_v8Rundiffusion",
        RNG: "CPU",
        loras: "set",
        sharpness: "2",
        styles: "['Fooocus V2']",
        vae: "Default (model)",
      },
    });
    expect(read({ UserComment: JSON.stringify(json) }).program).toBe("Fooocus");
  });

  it("SwarmUI, in its UserComment too, with numbers that may be text", () => {
    // docs/Image Metadata Format.md
    const inside = {
      prompt: "a cat",
      negativeprompt: "dog",
      model: "xl/base_1.0",
      cfgscale: "6.5",
      ...plain,
    };
    const json = JSON.stringify({
      sui_image_params: { ...inside, swarm_version: "0.9.3.1" },
      sui_extra_data: {},
    });
    for (const name of ["parameters", "UserComment", "Model"])
      expect(read({ [name]: json })).toEqual({
        program: "SwarmUI",
        ...cat,
        fields: { ...sizes, Model: "base_1.0", RNG: "CPU" },
      });
  });

  it("RuinedFooocus", () => {
    const json = { Prompt: "a cat", Negative: "dog", cfg: 6.5, ...plain, software: "RuinedFooocus" };
    const rest = {
      sampler_name: "euler",
      scheduler: "normal",
      base_model_name: "sd_xl_base_1.0.safetensors",
    };
    expect(read({ parameters: JSON.stringify({ ...json, ...rest, denoise: 1 }) })).toMatchObject({
      program: "RuinedFooocus",
      ...cat,
      fields: { ...sizes, Sampler: "euler", "Schedule type": "normal", Model: "sd_xl_base_1.0" },
    });
  });

  it("InvokeAI since version 3, of which unset lists and zeros are no settings", () => {
    const json = {
      app_version: "5.0.0",
      generation_mode: "sdxl_txt2img",
      positive_prompt: "a cat",
      negative_prompt: "dog",
      ...plain,
      rand_device: "cpu",
      cfg_scale: 6.5,
      cfg_rescale_multiplier: 0.0,
      scheduler: "dpmpp_2m_sde_k",
      model: { key: "a1", hash: "blake3:ff", name: "Juggernaut XL", base: "sdxl", type: "main" },
      loras: [],
      controlnets: [{ image: {} }],
      positive_style_prompt: "",
      seamless_x: false,
    };
    expect(read({ invokeai_metadata: JSON.stringify(json) })).toEqual({
      program: "InvokeAI",
      ...cat,
      fields: { ...sizes, Sampler: "dpmpp_2m_sde_k", Model: "Juggernaut XL", RNG: "CPU", controlnets: "set" },
    });
    const older = { ...json, model: { model_name: "sdxl", base_model: "sdxl", model_type: "main" } };
    expect(read({ invokeai_metadata: JSON.stringify(older) }).fields.Model).toBe("sdxl");
  });

  it("InvokeAI 2, its negative prompt in brackets", () => {
    const image = {
      prompt: [{ prompt: "a cat [dog]", weight: 1 }],
      sampler: "k_lms",
      cfg_scale: 6.5,
      ...plain,
    };
    const json = {
      model: "stable diffusion",
      model_weights: "deliberate",
      app_id: "invoke-ai/InvokeAI",
      image,
    };
    const dream = '"a cat [dog]" -s 28 -S 7 -W 832 -H 1216 -C 6.5 -A k_lms -U 4';
    const expected = { program: "InvokeAI", ...cat, fields: { ...sizes, Sampler: "k_lms" } };
    expect(read({ "sd-metadata": JSON.stringify(json), Dream: dream })).toEqual({
      ...expected,
      fields: { ...expected.fields, Model: "deliberate" },
    });
    expect(read({ Dream: dream })).toEqual({ ...expected, fields: { ...expected.fields, "-U": "4" } });
    expect(read({ dream })).toMatchObject(expected);
    expect(read({ Dream: '"a cat" -s 5' })).toMatchObject({ prompt: "a cat", negativePrompt: undefined });
  });

  it("NovelAI, early and late", () => {
    const comment = { steps: 28, scale: 6.5, seed: 7, uc: "dog", sampler: "k_euler_ancestral", n_samples: 1 };
    const software = { Software: "NovelAI", Source: "Stable Diffusion XL C1E1DE52", Description: "a cat" };
    const expected = {
      program: "NovelAI",
      ...cat,
      fields: { Steps: "28", "CFG scale": "6.5", Seed: "7", Sampler: "k_euler_ancestral" },
    };
    expect(
      read({ ...software, Comment: JSON.stringify({ ...comment, strength: 0.69, noise: 0.667 }) }),
    ).toEqual(expected);
    const late = {
      ...comment,
      prompt: "a cat",
      width: 832,
      height: 1216,
      noise_schedule: "karras",
      sm: true,
      request_type: "x",
    };
    const fields = { ...expected.fields, Size: "832x1216", "Schedule type": "karras", sm: "set" };
    expect(read({ ...software, Comment: JSON.stringify(late) })).toEqual({ ...expected, fields });
    // Of a WebP, all texts are one JSON.
    expect(read({ UserComment: JSON.stringify({ ...software, Comment: JSON.stringify(late) }) })).toEqual({
      ...expected,
      fields,
    });
  });

  it("Draw Things", () => {
    const json = {
      c: "a cat",
      uc: "dog",
      model: "sd_xl_base_1.0_f16.ckpt",
      sampler: "Euler A Trailing",
      scale: 6.5,
      seed: 7,
      seed_mode: "Scale Alike",
      size: "832x1216",
      steps: 28,
      strength: 1,
    };
    expect(read({ UserComment: JSON.stringify(json) })).toEqual({
      program: "Draw Things",
      ...cat,
      fields: {
        ...sizes,
        Sampler: "Euler A Trailing",
        Model: "sd_xl_base_1.0_f16",
        seed_mode: "Scale Alike",
      },
    });
  });

  it("Easy Diffusion, a text each in PNG, under one of two sets of names", () => {
    const keys = {
      prompt: "a cat",
      negative_prompt: "dog",
      seed: "7",
      use_stable_diffusion_model: "C:\\models\\sd-v1-5.safetensors",
      clip_skip: "False",
      use_vae_model: "None",
      sampler_name: "euler_a",
      width: "832",
      height: "1216",
      num_inference_steps: "28",
      guidance_scale: "6.5",
    };
    const labels = {
      Prompt: "a cat",
      "Negative Prompt": "dog",
      Seed: "7",
      "Stable Diffusion model": "sd-v1-5",
      Sampler: "euler_a",
      Width: "832",
      Height: "1216",
      Steps: "28",
      "Guidance Scale": "6.5",
    };
    const expected = {
      program: "Easy Diffusion",
      ...cat,
      fields: { ...sizes, Sampler: "euler_a", Model: "sd-v1-5" },
    };
    expect(read(keys)).toEqual(expected);
    expect(read(labels)).toEqual(expected);
    expect(
      read({
        UserComment: JSON.stringify({ ...keys, ...plain, num_inference_steps: 28, guidance_scale: 6.5 }),
      }),
    ).toMatchObject(expected);
  });
});

it("JSON that is no program's is nothing", () => {
  for (const text of ["{}", '{"a":1}', '{"prompt":"x"}', "[1]", "{", '{"sui_image_params":5}', "{cat|dog}"])
    for (const name of ["parameters", "UserComment", "Comment", "prompt"])
      expect(found({ [name]: text })).toBeUndefined();
});

it("a seed of 64 bits keeps its digits, a fraction its value, and Python's NaN is null", () => {
  const text =
    '{"positive_prompt":"1234567890123456789, \\"12345678901234567\\"","seed":18446744073709551615,"cfg_scale":0.1234567890123456789,"steps":4,"x":[NaN,-Infinity]}';
  expect(read({ invokeai_metadata: text })).toMatchObject({
    prompt: '1234567890123456789, "12345678901234567"',
    fields: { Seed: "18446744073709551615", "CFG scale": String(0.12345678901234568), x: "set" },
  });
});

it("texts with any bytes changed are read or not", () => {
  const texts = [
    '{"uc":"dog","scale":5,"prompt":"a cat","steps":28,"v4_prompt":{"caption":[[[1]]]}}',
    '"a cat [dog]" -s 28 -S 7 -W 832 -H 1216',
    '{"3":{"class_type":"KSampler","inputs":{"positive":["6",0],"seed":["3",0]}},"6":{"class_type":"C","inputs":{"text":["6",0]}}}',
  ];
  const random = new Generator(4);
  for (let round = 0; round < 3000; round++) {
    const bytes = Buffer.from(texts[round % texts.length]!);
    for (const at of random.randint(3, { high: bytes.length }))
      bytes[at] = 32 + random.randint(1, { high: 95 })[0]!;
    for (const name of ["UserComment", "Dream", "prompt"]) found({ [name]: bytes.toString("latin1") });
  }
});

it.each([
  "[",
  '{"a":',
  '"',
  '\\"',
  "1",
  "1.",
  "e5",
  "NaN",
  "(",
  'x: "',
  ",a:",
  "\n",
  "\nA:",
  "Steps:",
  "a:1\nSteps:",
])("300,000 letters of %j are read in linear time, wherever they stand", (piece) => {
  for (const head of ["", "{", '{"prompt":', '"', '"[']) {
    const text = head + piece.repeat(300_000 / piece.length);
    const seconds = cpuSeconds(() => {
      for (const name of ["UserComment", "Dream", "prompt"]) found({ [name]: text });
      parseParameters(text);
    });
    expect(seconds).toBeLessThan(linear);
  }
});
