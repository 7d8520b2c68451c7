import { execFile } from "node:child_process";
import { statSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Cancelled, FileError, ModelError } from "../../src/errors.js";
import { filesUnder, readRefs, repoCache } from "../../src/hub/cache.js";
import { type ResolveOptions, resolveModel } from "../../src/hub/resolve.js";
import { resolveWeights } from "../../src/weights/component.js";
import { openFolder } from "../../src/weights/folder.js";
import { type Files, filesIn, gitHash, type HubServer, sha256, startHub } from "../hub-server.js";
import { limitedKoala } from "../limited.js";

const golden = fileURLToPath(new URL("../../golden/data/pipelines/", import.meta.url));
const half = filesIn(`${golden}koala-700m-tiny`);
const plain = filesIn(`${golden}koala-1b-tiny`);
const junk = Buffer.from("not for us");
const [commitA, commitB, commitC] = ["a".repeat(40), "b".repeat(40), "c".repeat(40)];

const unet = "unet/diffusion_pytorch_model.safetensors";
const unetBytes = plain.get(unet)!;
const unetHash = sha256(unetBytes);

const hashOf = async (file: string) => sha256(await readFile(file));

/** As the Hub has them: both precisions, other formats, a checkpoint at the root, images. */
function published(): Files {
  const files = new Map([...plain, ...half]);
  for (const name of [
    "README.md",
    "koala-700m.safetensors",
    "unet/diffusion_pytorch_model.bin",
    "vae/model.onnx",
  ]) {
    files.set(name, junk);
  }
  for (const name of ["unet/model.msgpack", "text_encoder/openvino_model.xml", "unet/deeper/config.json"])
    files.set(name, junk);
  return files;
}

let hub: HubServer;
let home: string;

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "hub-"));
  hub = await startHub({
    "koala/half": { commits: { [commitA]: half }, refs: { main: commitA } },
    "koala/plain": { commits: { [commitA]: plain }, refs: { main: commitA } },
    "koala/both": { commits: { [commitB]: published() }, refs: { main: commitB } },
  });
});

afterEach(async () => {
  await hub.close();
  await rm(home, { recursive: true });
});

const environment = (more: Record<string, string> = {}) => ({ HF_HOME: home, HF_ENDPOINT: hub.url, ...more });

const resolve = (model: string, options: ResolveOptions = {}) =>
  resolveModel(model, { environment: environment(), patience: { pause: 1, stall: 2000 }, ...options });

const repoOf = (id: string) => repoCache(path.join(home, "hub"), id);

test("a path that exists is returned as it is, and nothing is asked", async () => {
  expect(await resolve(`${golden}sd2-tiny`)).toBe(`${golden}sd2-tiny`);
  expect(hub.asked).toEqual([]);
});

test("a model is laid out as Python's cache has it: blobs by hash, relative links, a ref", async () => {
  const folder = await resolve("koala/half");
  const root = path.join(home, "hub", "models--koala--half");
  expect(folder).toBe(path.join(root, "snapshots", commitA));
  expect(await filesUnder(folder)).toEqual([...half.keys()].sort());
  for (const [name, bytes] of half) {
    const etag = name.endsWith(".safetensors") ? sha256(bytes) : gitHash(bytes);
    const up = "../".repeat(name.split("/").length + 1);
    expect(await readlink(path.join(folder, name))).toBe(`${up}blobs/${etag}`);
    expect(await hashOf(path.join(folder, name))).toBe(sha256(bytes));
  }
  expect(await readFile(path.join(root, "refs", "main"), "utf8")).toBe(commitA);
  expect((await readdir(path.join(root, "blobs"))).filter((name) => name.includes("incomplete"))).toEqual([]);
  expect(await readdir(path.join(home, "hub", ".locks", "models--koala--half"))).toEqual([]);
});

test("what was downloaded opens as a pipeline's folder, its shards through their index", async () => {
  const { parts } = await openFolder(await resolve("koala/half"));
  const weights = await resolveWeights(parts.get("unet")!.path);
  expect(weights.files).toHaveLength(4);
  expect(weights.variant).toBe("fp16");
});

test("only the half-precision weights and the configs are downloaded, and each content once", async () => {
  const folder = await resolve("koala/both");
  expect(await filesUnder(folder)).toEqual([...half.keys()].sort());
  const downloads = hub.downloads();
  const contents = downloads.map((name) => sha256(published().get(name)!));
  expect(new Set(contents).size).toBe(contents.length);
  expect(downloads.filter((name) => published().get(name) === junk)).toEqual([]);
});

test("float32 takes the plain weights, a variant asked by name its own", async () => {
  const full = await resolve("koala/both", { dtype: "float32" });
  expect(await filesUnder(full)).toEqual([...plain.keys()].sort());
  await rm(home, { recursive: true });
  expect(await filesUnder(await resolve("koala/both", { variant: "fp16" }))).toEqual([...half.keys()].sort());
});

test("a variant is taken of the parts that have it, and the plain files of the others", async () => {
  const files = new Map([...plain].filter(([name]) => name !== unet));
  for (const variant of ["fp16", "bf16"]) files.set(unet.replace(".safe", `.${variant}.safe`), unetBytes);
  hub.repos = { "koala/mixed": { commits: { [commitA]: files }, refs: { main: commitA } } };
  const folder = await resolve("koala/mixed", { variant: "bf16" });
  const wanted = [...files.keys()].filter((name) => !name.includes("fp16")).sort();
  expect(await filesUnder(folder)).toEqual(wanted);
  await expect(resolve("koala/mixed", { variant: "ema" })).rejects.toThrow(
    'unet: must hold variant "ema" or plain files, got "fp16", "bf16". Name one of them as the variant.',
  );
});

test("what Transformers before 4.34 added to a tokenizer is downloaded with it", async () => {
  const files = new Map([...half, ["tokenizer/added_tokens.json", Buffer.from('{"<sks>": 814}')]]);
  hub.repos = { "koala/old": { commits: { [commitA]: files }, refs: { main: commitA } } };
  expect(await filesUnder(await resolve("koala/old"))).toContain("tokenizer/added_tokens.json");
});

test("a variant that is not there is refused before anything but the index is downloaded", async () => {
  await expect(resolve("koala/both", { variant: "bf16" })).rejects.toThrow(
    'weights: must hold variant "bf16" of a part, got "plain", "fp16"',
  );
  expect(hub.downloads()).toEqual(["model_index.json"]);
});

test("the configs alone are no whole model, online or offline, and the weights follow later", async () => {
  const folder = await resolve("koala/half", { configsOnly: true });
  const configs = [...half.keys()].filter((name) => !name.includes("safetensors")).sort();
  expect(await filesUnder(folder)).toEqual(configs);
  const offline = environment({ HF_HUB_OFFLINE: "1" });
  expect(await resolve("koala/half", { configsOnly: true, environment: offline })).toBe(folder);
  await expect(resolve("koala/half", { environment: offline })).rejects.toThrow(/must be whole in the cache/);
  expect(await filesUnder(await resolve("koala/half"))).toEqual([...half.keys()].sort());
});

test("koala.json is taken where there is one", async () => {
  const modelDefaults = Buffer.from('{"steps": 10}');
  hub.repos = {
    "koala/own": {
      commits: { [commitA]: new Map([...half, ["koala.json", modelDefaults]]) },
      refs: { main: commitA },
    },
  };
  expect(await readFile(path.join(await resolve("koala/own"), "koala.json"))).toEqual(modelDefaults);
});

test("the second call downloads nothing", async () => {
  const folder = await resolve("koala/half");
  hub.asked.length = 0;
  let told = 0;
  expect(await resolve("koala/half", { onProgress: () => told++ })).toBe(folder);
  expect(hub.downloads()).toEqual([]);
  expect(told).toBe(0);
});

test("weights that are there already serve in either precision, unless one is asked for", async () => {
  await resolve("koala/both", { dtype: "float32" });
  hub.asked.length = 0;
  await resolve("koala/both");
  expect(hub.downloads()).toEqual([]);
  await resolve("koala/both", { dtype: "float16" });
  expect(hub.downloads().filter((name) => name.includes("fp16"))).toHaveLength(8);
});

test("progress ends with all bytes that had to be downloaded", async () => {
  const seen: { done: number; total: number }[] = [];
  await resolve("koala/plain", { onProgress: ({ done, total }) => seen.push({ done, total }) });
  const readFirst = ["model_index.json", "unet/config.json", "vae/config.json"];
  const contents = new Map(
    [...plain].filter(([name]) => !readFirst.includes(name)).map(([, b]) => [sha256(b), b]),
  );
  const total = [...contents.values()].reduce((sum, bytes) => sum + bytes.length, 0);
  expect(seen.at(-1)).toEqual({ done: total, total });
  expect(seen.every(({ done }, i) => i === 0 || done >= seen[i - 1]!.done)).toBe(true);
});

test("a connection cut in the middle of a file is resumed from the byte on disk", async () => {
  const partial = `${repoOf("koala/plain").blob(unetHash)}.koala.incomplete`;
  const sizes: number[] = [];
  const before = () => void sizes.push(statSync(partial).size);
  hub.faults.push(
    { path: unet, cut: 1_000_000 },
    { path: unet, cut: 1_000_000, before },
    { path: unet, silent: 0, before },
  );
  const folder = await resolve("koala/plain", { patience: { pause: 200, stall: 300 } });
  expect(await hashOf(path.join(folder, unet))).toBe(unetHash);
  const ranges = hub.asked.filter((a) => a.cdn && a.path.includes(unet)).map((a) => a.range);
  const last = unetBytes.length - 1;
  expect(sizes[0]).toBeGreaterThan(0);
  expect(sizes[1]).toBeGreaterThan(sizes[0]!);
  expect(ranges).toEqual([
    undefined,
    `bytes=${sizes[0]}-${last}`,
    `bytes=${sizes[1]}-${last}`,
    `bytes=${sizes[1]}-${last}`,
  ]);
});

test("after an abort the partial file stays as Python names it, and the next run goes on from there", async () => {
  const stop = new AbortController();
  const onProgress = ({ file, done }: { file: string; done: number }) => {
    if (file === unet && done > 800_000) stop.abort();
  };
  hub.faults.push({ path: unet, silent: 1_000_000 });
  const download = resolve("koala/plain", { signal: stop.signal, onProgress });
  await expect(download).rejects.toThrow(Cancelled);
  const partial = `${repoOf("koala/plain").blob(unetHash)}.incomplete`;
  const { size } = await stat(partial);
  expect(size).toBeGreaterThan(0);
  expect(await hashOf(partial)).toBe(sha256(unetBytes.subarray(0, size)));
  hub.asked.length = 0;
  const folder = await resolve("koala/plain");
  const ranges = hub.asked.filter((a) => a.cdn && a.path.includes(unet)).map((a) => a.range);
  expect(ranges).toEqual([`bytes=${size}-${unetBytes.length - 1}`]);
  expect(await hashOf(path.join(folder, unet))).toBe(unetHash);
  await expect(stat(partial)).rejects.toThrow("ENOENT");
});

test("a connection that is cut again and again is given up at last, and what came is kept", async () => {
  hub.faults.push({ path: unet, cut: 700_000 }, ...Array.from({ length: 5 }, () => ({ path: unet, cut: 0 })));
  const rule = /must arrive whole, got \w+ 5 times at byte \d+ of 3713728\. Try again: what is there is kept/;
  await expect(resolve("koala/plain")).rejects.toThrow(rule);
  const { size } = await stat(`${repoOf("koala/plain").blob(unetHash)}.incomplete`);
  expect(size).toBeGreaterThan(0);
});

test("a partial file that is damaged is downloaded anew, and a note says so", async () => {
  const repo = repoOf("koala/plain");
  await mkdir(repo.blobs, { recursive: true });
  await writeFile(`${repo.blob(unetHash)}.incomplete`, Buffer.alloc(1000));
  const notes: string[] = [];
  const folder = await resolve("koala/plain", { onNote: (note) => notes.push(note) });
  expect(await hashOf(path.join(folder, unet))).toBe(unetHash);
  expect(notes).toEqual([`${unet}: what was there of it was damaged; downloading it anew`]);
});

test("a server that ignores ranges makes the file start over instead of garbling it", async () => {
  hub.faults.push(
    { path: unet, cut: 500_000 },
    { path: unet, wholeFile: true },
    { path: unet, wholeFile: true },
  );
  const folder = await resolve("koala/plain");
  expect(await hashOf(path.join(folder, unet))).toBe(unetHash);
});

test("bytes of another hash are refused and deleted", async () => {
  const altered = Buffer.from(unetBytes);
  altered[2_000_000]! ^= 1;
  hub.faults.push({ path: unet, bytes: altered });
  const rule = `koala/plain/${unet}: must have the hash ${unetHash}, got ${sha256(altered)}`;
  await expect(resolve("koala/plain")).rejects.toThrow(rule);
  const names = await readdir(repoOf("koala/plain").blobs);
  expect(names.filter((name) => name.startsWith(unetHash))).toEqual([]);
});

test("429 is waited out as Retry-After says, and 503 is asked again", async () => {
  hub.faults.push({ path: "/revision/main", status: 429, headers: { "retry-after": "1" } });
  hub.faults.push({ path: "vae/config.json", status: 503 });
  const notes: string[] = [];
  const started = performance.now();
  await resolve("koala/half", { onNote: (note) => notes.push(note) });
  expect(performance.now() - started).toBeGreaterThan(990);
  expect(notes).toEqual(["the Hub asks to wait 1 s"]);
});

test("a private or absent model says how to name it and how to give a token", async () => {
  const refusal = await resolve("koala/hlaf").catch((error) => error);
  expect(refusal).toBeInstanceOf(ModelError);
  expect(refusal.message).toMatch(
    /^koala\/hlaf: must be a model at .*, got none such, or a private one\. .*HF_TOKEN/,
  );
  const named = { environment: environment({ HF_TOKEN: "wrong" }) };
  await expect(resolve("koala/hlaf", named)).rejects.toThrow("check that your token may read it");
});

test("a gated model says where its terms are accepted", async () => {
  hub.repos = {
    "koala/gated": { commits: { [commitA]: half }, refs: { main: commitA }, token: "hf_good", gated: true },
  };
  const bare = `koala/gated: is gated: a token must be given. Accept its terms at ${hub.url}/koala/gated`;
  await expect(resolve("koala/gated")).rejects.toThrow(bare);
  const wrong = { environment: environment({ HF_TOKEN: "hf_other" }) };
  await expect(resolve("koala/gated", wrong)).rejects.toThrow("your token's account must be granted access");
});

test("the token comes from the environment or the file, and goes to the Hub alone", async () => {
  hub.repos = {
    "koala/private": { commits: { [commitA]: half }, refs: { main: commitA }, token: "hf_good" },
  };
  await writeFile(path.join(home, "token"), "hf_good\n");
  await resolve("koala/private");
  expect(new Set(hub.asked.filter((a) => !a.cdn).map((a) => a.token))).toEqual(new Set(["hf_good"]));
  expect(new Set(hub.asked.filter((a) => a.cdn).map((a) => a.token))).toEqual(new Set([undefined]));
  await writeFile(path.join(home, "token"), "hf_old");
  await resolve("koala/private", { environment: environment({ HUGGING_FACE_HUB_TOKEN: "hf_good" }) });
});

test("a branch, a tag and a commit are revisions, in the name or beside it", async () => {
  const older = new Map([...half, ["koala.json", Buffer.from("{}")]]);
  const refs = { main: commitB, "v1.0": commitC, "refs/pr/1": commitC };
  hub.repos = { "koala/moved": { commits: { [commitB]: half, [commitC]: older }, refs } };
  const at = (commit: string) => repoOf("koala/moved").snapshot(commit);
  expect(await resolve("koala/moved")).toBe(at(commitB));
  hub.asked.length = 0;
  expect(await resolve("koala/moved@v1.0")).toBe(at(commitC));
  expect(hub.downloads()).toEqual(["koala.json"]);
  expect(await resolve("koala/moved", { revision: "refs/pr/1" })).toBe(at(commitC));
  expect(await resolve(`koala/moved@${commitC}`)).toBe(at(commitC));
  expect(await filesUnder(repoOf("koala/moved").refs)).toEqual(["main", "refs/pr/1", "v1.0"]);
  await expect(resolve("koala/moved@v2")).rejects.toThrow('must have the revision "v2", got none such');
  await expect(resolve("koala/moved@v1", { revision: "v2" })).rejects.toThrow("must be given once");
});

test("offline the cache serves without a request, and what is absent is named", async () => {
  const offline = { environment: environment({ HF_HUB_OFFLINE: "1" }) };
  await expect(resolve("koala/half", offline)).rejects.toThrow(
    /got nothing of this model\. HF_HUB_OFFLINE is set/,
  );
  const folder = await resolve("koala/half");
  hub.asked.length = 0;
  expect(await resolve("koala/half", offline)).toBe(folder);
  expect(await resolve(`koala/half@${commitA}`, offline)).toBe(folder);
  await expect(resolve("koala/half@v2", offline)).rejects.toThrow('got only "main"');
  const gone = "unet/diffusion_pytorch_model.fp16-00002-of-00004.safetensors";
  await rm(repoOf("koala/half").blob(sha256(half.get(gone)!)));
  await rm(path.join(folder, "tokenizer/vocab.json"));
  const error = await resolve("koala/half", offline).catch((e) => e);
  expect(error).toBeInstanceOf(ModelError);
  expect(error.missing).toEqual(["tokenizer/vocab.json", gone]);
  expect(hub.asked).toEqual([]);
});

test("with the Hub out of reach the cache serves and says so, and without a copy the reason is told", async () => {
  const folder = await resolve("koala/half");
  await hub.close();
  const notes: string[] = [];
  expect(await resolve("koala/half", { onNote: (note) => notes.push(note) })).toBe(folder);
  expect(notes).toEqual([
    expect.stringMatching(/must be reached, got ECONNREFUSED.*Using the copy in the cache/),
  ]);
  await expect(resolve("koala/plain")).rejects.toThrow(
    "must be reached, got ECONNREFUSED. Check the network",
  );
  hub = await startHub({});
});

test("repositories that are no Diffusers U-Net model are refused by what they are", async () => {
  const flux = Buffer.from(
    '{"_class_name": "FluxPipeline", "transformer": ["diffusers", "FluxTransformer2DModel"]}',
  );
  const pickled = new Map(
    [...half].map(([name, bytes]) => [
      name.replace(/^vae\/.*\.safetensors$/, "vae/diffusion_pytorch_model.bin"),
      bytes,
    ]),
  );
  const repo = (files: Files) => ({ commits: { [commitA]: files }, refs: { main: commitA } });
  hub.repos = {
    "a/checkpoint": repo(new Map([["model.safetensors", junk]])),
    "a/flux": repo(new Map([["model_index.json", flux]])),
    "a/pickled": repo(pickled),
  };
  await expect(resolve("a/checkpoint")).rejects.toThrow(
    'a/checkpoint: must be a Diffusers model with model_index.json, got the single file "model.safetensors"',
  );
  await expect(resolve("a/flux")).rejects.toThrow(
    "FluxPipeline must have a unet of UNet2DConditionModel, got no unet",
  );
  await expect(resolve("a/pickled")).rejects.toThrow(
    'must hold "vae/*.safetensors", got weights in .bin files',
  );
});

test("other classes, and U-Nets that read more than latents, are refused before any weights are downloaded", async () => {
  const changed = (name: string, from: string, to: string) => {
    const text = half.get(name)!.toString();
    expect(text).toContain(from);
    return new Map([...half, [name, Buffer.from(text.replace(from, to))]]);
  };
  const xl = "StableDiffusionXLPipeline";
  const repo = (files: Files) => ({ commits: { [commitA]: files }, refs: { main: commitA } });
  hub.repos = {
    "a/control": repo(changed("model_index.json", xl, "StableDiffusionXLControlNetPipeline")),
    "a/inpaint": repo(changed("unet/config.json", '"in_channels": 4', '"in_channels": 9')),
    "a/refined": repo(changed("model_index.json", xl, "StableDiffusionXLImg2ImgPipeline")),
  };
  await expect(resolve("a/control")).rejects.toThrow(
    'got "StableDiffusionXLControlNetPipeline". Its control',
  );
  await expect(resolve("a/inpaint")).rejects.toThrow("unet/config.json: in_channels: must be 4");
  expect(hub.downloads().filter((name) => name.endsWith(".safetensors"))).toEqual([]);
  expect(await filesUnder(await resolve("a/refined"))).toEqual([...half.keys()].sort());
});

test("a download larger than the disk is refused before it starts", async () => {
  const huge = new Map(half);
  const bytes = Buffer.from(half.get("vae/diffusion_pytorch_model.fp16.safetensors")!);
  Object.defineProperty(bytes, "length", { value: 1e17 });
  huge.set("vae/diffusion_pytorch_model.fp16.safetensors", bytes);
  hub.repos = { "koala/huge": { commits: { [commitA]: huge }, refs: { main: commitA } } };
  await expect(resolve("koala/huge")).rejects.toThrow(/^koala\/huge: needs 100000000\.\d\d GB of free disk/);
  expect(hub.downloads().filter((name) => name.endsWith(".safetensors"))).toEqual([]);
});

test("two processes at once download each file once between them", async () => {
  // Half a second of silence, so that the second finds the first at work.
  hub.faults.push({ path: unet, silent: 1000 });
  const script = `
    import { resolveModel } from ${JSON.stringify(new URL("../../src/hub/resolve.ts", import.meta.url).href)};
    process.stdout.write(await resolveModel("koala/plain", { patience: { pause: 1, stall: 500 } }));`;
  const run = () =>
    promisify(execFile)(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
      env: { ...process.env, ...environment() },
    });
  const [first, second] = await Promise.all([run(), run()]);
  expect(second.stdout).toBe(first.stdout);
  expect(await hashOf(path.join(first.stdout, unet))).toBe(unetHash);
  const asked = hub.asked.filter((a) => a.cdn && a.path.includes(unet)).map((a) => a.range);
  expect(asked).toEqual([undefined, `bytes=1000-${unetBytes.length - 1}`]);
  const contents = hub
    .downloads()
    .filter((name) => name !== unet)
    .map((name) => sha256(plain.get(name)!));
  expect(new Set(contents).size).toBe(contents.length);
});

test("a cache that cannot be written is told before anything is downloaded", async () => {
  await writeFile(path.join(home, "hub"), "a file in its place");
  const failed = resolve("koala/plain");
  await expect(failed).rejects.toThrow(FileError);
  await expect(failed).rejects.toThrow(
    /hub\/models--koala--plain\S*: must be writable, got E(EXIST|NOTDIR) /,
  );
  expect(hub.downloads()).toEqual([]);
});

test("a disk that takes no more is told, and what came is kept for the time when it does", async () => {
  const command = ["models", "download", "koala/plain", "--quiet"];
  const limits = { env: { ...environment(), HF_HUB_CACHE: "", HF_TOKEN: "" }, shell: "ulimit -f 200" };
  const { code, stderr } = await limitedKoala(command, limits);
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^error: koala\/plain\/\S+: must be written to \S+models--koala--plain, got EFBIG\. Raise .*\n$/,
  );
  const folder = await resolve("koala/plain");
  expect(await hashOf(path.join(folder, unet))).toBe(unetHash);
  const resumed = hub.asked.filter(({ range }) => range !== undefined && range !== "bytes=0-");
  expect(resumed.length).toBeGreaterThan(0);
});

test("a ref that a killed process left half written is none", async () => {
  await resolve("koala/half");
  const refs = repoOf("koala/half").refs;
  await writeFile(path.join(refs, "main.2f6b7cde-0000-4000-8000-000000000000.partial"), "aa");
  expect(await readRefs(repoOf("koala/half"))).toEqual([["main", commitA]]);
});
