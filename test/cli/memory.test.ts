/** @file `koala memory`. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type MemoryReport, memoryCommand } from "../../src/cli/memory.js";
import { filesIn, startHub } from "../hub-server.js";

const golden = new URL("../../golden/data/pipelines/", import.meta.url).pathname;
const embeddings = new URL("../../golden/data/embeddings/", import.meta.url).pathname;
const folder = `${golden}koala-700m-tiny`;

const printed = (...args: string[]) => printedOf(folder, ...args);

async function printedOf(...args: string[]): Promise<string> {
  let text = "";
  vi.spyOn(process.stdout, "write").mockImplementation((part) => {
    text += part;
    return true;
  });
  await memoryCommand().exitOverride().parseAsync(args, { from: "user" });
  return text;
}

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

describe("koala memory prints", () => {
  it("a row for each part, a column for each size", async () => {
    const lines = (await printed()).trimEnd().split("\n");
    expect(lines[0]).toMatch(/ available; 1 at once, with guidance$/);
    expect(lines[2]).toMatch(/^peak +512 px +768 px +1024 px$/);
    const titles = [
      "text_encoder",
      "text_encoder_2",
      "unet",
      "vae",
      "vae in tiles of 512 px",
      "all kept loaded",
      "one after the other",
      "fits",
    ];
    for (const [i, title] of titles.entries()) expect(lines[3 + i]).toMatch(new RegExp(`^${title}  `));
  });

  it("the same as JSON, in bytes", async () => {
    const fit = JSON.parse(
      await printed("--sizes", "64,1024", "--batch", "2", "--no-guidance", "--json"),
    ) as MemoryReport;
    expect(fit).toMatchObject({ batch: 2, guidance: false });
    expect(fit.rows.map((row) => row.pixels)).toEqual([64, 1024]);
    expect(fit.rows[1]!.kept).toBeGreaterThan(fit.rows[0]!.kept);
    expect(fit.rows[0]!.fits).toBe("kept");
  });

  it("no less with an embedding, and refuses one of other widths", async () => {
    const report = async (...args: string[]) =>
      JSON.parse(
        await printedOf(`${golden}koala-1b-tiny`, "--sizes", "64", "--json", ...args),
      ) as MemoryReport;
    const [without, with_] = [
      await report(),
      await report("--embedding", `${embeddings}koala-1b-tiny-badmix.safetensors`),
    ];
    const run = ({ rows }: MemoryReport) => rows[0]!.components[0]!.run;
    expect(run(with_)).toBeGreaterThanOrEqual(run(without));
    await expect(report("--embedding", `${embeddings}sd2-tiny-ink-wash.safetensors`)).rejects.toThrow(
      "must hold vectors of the model's widths",
    );
  });

  it("a size that no model generates is refused by name", async () => {
    await expect(printed("--sizes", "100")).rejects.toThrow(
      "--sizes: must be a multiple of 8, got 100. Nearest: 96 or 104.",
    );
  });

  it("what a device takes of the memory that is given, and whether decoding in tiles would fit", async () => {
    const report = async (...args: string[]) =>
      JSON.parse(await printed("--sizes", "1024", "--json", ...args)) as MemoryReport;
    const device = await report("--device", "webgpu", "--device-memory", "1.5GB");
    expect(device).toMatchObject({ device: "webgpu", dtype: "float32", available: 1.5e9, basis: "measured" });
    const [row] = device.rows;
    expect(row!.components.find(({ name }) => name === "unet")!.loaded).toBeLessThan(4e6); // as stored, in 16 bits
    expect(row!.tiled!.vae).toBeLessThan(row!.components.at(-1)!.peak / 2);
    const half = await report("--device", "cuda", "--dtype", "float16", "--device-memory", "8GB");
    expect(half).toMatchObject({ dtype: "float16", basis: "computed" });
    const text = await printed("--device", "webgpu", "--device-memory", "50MB", "--sizes", "1024");
    expect(text).toMatch(/^webgpu, float32, measured: 50(\.0)? MB available;/);
    expect(text).toMatch(/^fits +no$/m);
    expect(await printed("--device", "webgpu", "--sizes", "64")).toMatch(
      /memory not known: give --device-memory/,
    );
    await expect(printed("--device", "auto")).rejects.toThrow(/--device: must be named/);
  });

  it("without a model it is the one inside", async () => {
    expect(await printedOf("--sizes", "64")).toContain("unet");
  });

  it("another autoencoder, another U-Net and LoRAs are counted", async () => {
    const base = `${golden}koala-1b-tiny`;
    const partsOf = async (...args: string[]) =>
      (JSON.parse(await printedOf(base, "--sizes", "64", "--json", ...args)) as MemoryReport).rows[0]!
        .components;
    const peak = (parts: Awaited<ReturnType<typeof partsOf>>, name: string) =>
      parts.find((part) => part.name === name)!.peak;
    const plain = await partsOf();
    expect(await partsOf("--unet", `${base}/unet/diffusion_pytorch_model.safetensors`)).toEqual(plain);
    expect(peak(await partsOf("--vae", `${golden}taesd-tiny`), "vae")).not.toBe(peak(plain, "vae"));
    const lora = await partsOf("--lora", `${golden}lora/koala-1b-tiny-kohya.safetensors:0.5`);
    const load = (parts: typeof plain) => parts.find(({ name }) => name === "unet")!.load;
    expect(load(lora)).toBeGreaterThan(load(plain));
    const other = printed("--lora", `${golden}lora/koala-1b-tiny-kohya.safetensors`);
    await expect(other).rejects.toThrow(/: must fit .* Use a LoRA that was trained for this model/);
  });

  it("of a model on the Hub only the configs are downloaded, and the numbers are those of the whole", async () => {
    const home = await mkdtemp(path.join(tmpdir(), "hub-"));
    const commit = "a".repeat(40);
    const hub = await startHub({
      "koala/tiny": { commits: { [commit]: filesIn(folder) }, refs: { main: commit } },
    });
    try {
      vi.stubEnv("HF_HOME", home);
      vi.stubEnv("HF_ENDPOINT", hub.url);
      for (const name of ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN"])
        vi.stubEnv(name, "");
      const rowsOf = async (model: string) =>
        (JSON.parse(await printedOf(model, "--json")) as MemoryReport).rows;
      const rows = await rowsOf("koala/tiny");
      expect(hub.downloads()).toContain("unet/config.json");
      expect(hub.downloads().filter((name) => name.includes("safetensors"))).toEqual([]);
      expect(rows).toEqual(await rowsOf(folder));
      vi.stubEnv("HF_HUB_OFFLINE", "1");
      expect(await rowsOf("koala/tiny")).toEqual(rows);
    } finally {
      await hub.close();
      await rm(home, { recursive: true });
    }
  });
});
