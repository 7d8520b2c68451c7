/** @file Content credentials in image files, verified by the C2PA's reference implementation and not by the library that signed. */

import { webcrypto } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { initSync, WasmReader } from "@contentauth/c2pa-wasm";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { blockingEngine } from "../src/engine/ort/blocking-engine.js";
import { decodeImage } from "../src/image/codec.js";
import { openSigner, type SigningFiles } from "../src/image/content-credentials.js";
import { defaultLimits } from "../src/jobs/limits.js";
import { openModelRegistry } from "../src/jobs/model-registry.js";
import { processorThread } from "../src/jobs/processor-thread.js";
import { resolveRequest } from "../src/jobs/resolve-request.js";
import type { GeneratedImage } from "../src/pipeline/generated-image.js";
import { readRequest } from "../src/pipeline/metadata/read.js";
import { DiffusionPipeline } from "../src/pipeline/pipeline.js";
import { tinyModel } from "./serving.js";

const scratch = mkdtempSync(path.join(tmpdir(), "koala-c2pa-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const keys = {
  "P-256": { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  "P-384": { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" },
  RSA: {
    ...{ name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", modulusLength: 2048 },
    publicExponent: new Uint8Array([1, 0, 1]),
  },
  Ed25519: { name: "Ed25519" },
} as const;

const pem = (kind: string, bytes: ArrayBuffer) =>
  `-----BEGIN ${kind}-----\n${Buffer.from(bytes)
    .toString("base64")
    .match(/.{1,64}/g)!
    .join("\n")}\n-----END ${kind}-----\n`;

const makePair = async (algorithm: (typeof keys)[keyof typeof keys]) =>
  (await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;

/** A self-signed certificate of the kind that C2PA asks for, which nobody trusts. */
async function makeFiles(kind: keyof typeof keys): Promise<SigningFiles> {
  const algorithm = keys[kind];
  const pair = await makePair(algorithm);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    ...{ serialNumber: "01", name: "CN=A signer, O=Test", keys: pair, signingAlgorithm: algorithm },
    ...{ notBefore: new Date("2020-01-01"), notAfter: new Date("2120-01-01") },
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension(["1.3.6.1.5.5.7.3.4"]),
      await SubjectKeyIdentifierExtension.create(pair.publicKey),
      await AuthorityKeyIdentifierExtension.create(pair.publicKey),
    ],
  });
  const files = { certificate: path.join(scratch, `${kind}.pem`), key: path.join(scratch, `${kind}.key`) };
  writeFileSync(files.certificate, certificate.toString("pem"));
  writeFileSync(files.key, pem("PRIVATE KEY", await webcrypto.subtle.exportKey("pkcs8", pair.privateKey)));
  return files;
}

/** What the reference implementation says of a file. */
async function verified(file: Uint8Array, format: "png" | "jpeg") {
  const reader = await WasmReader.fromBytes(`image/${format}`, file);
  const {
    validation_state: state,
    validation_results: results,
    manifests,
    active_manifest: active,
  } = JSON.parse(reader.json());
  const failures = (results.activeManifest.failure as { code: string }[]).map(({ code }) => code);
  return { state, failures, manifest: manifests[active] };
}

let files: SigningFiles;
let image: GeneratedImage;
beforeAll(async () => {
  initSync({ module: readFileSync(new URL(import.meta.resolve("@contentauth/c2pa-wasm/c2pa.wasm"))) });
  files = await makeFiles("P-256");
  const pipe = await DiffusionPipeline.fromPretrained(tinyModel, { engine: blockingEngine({ threads: 1 }) });
  const request = { prompt: "a red apple", width: 64, height: 64, numInferenceSteps: 1, seed: 3 };
  image = (await pipe.generate(request)).images[0]!;
});

/** Nobody trusts the signer; all else holds. */
const valid = { state: "Valid", failures: ["signingCredential.untrusted"] };

describe("a signed image", () => {
  it.each(["png", "jpeg"] as const)(
    "holds as %s that a model made it, over all of the file",
    async (format) => {
      const signer = await openSigner(files);
      const [signed, plain] = [await image.encode(format, { signer }), await image.encode(format)];
      const found = await verified(signed, format);
      expect(found).toMatchObject(valid);
      const { actions } = found.manifest.assertions[0].data;
      expect(actions).toEqual([
        {
          action: "c2pa.created",
          digitalSourceType: "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
          softwareAgent: { name: "koala-diffusion", version: expect.stringMatching(/^\d/) },
        },
      ]);
      expect((await decodeImage(signed)).image.data).toEqual((await decodeImage(plain)).image.data);
      const file = path.join(scratch, `signed.${format}`);
      writeFileSync(file, signed);
      expect(await readRequest(file)).toMatchObject({
        exact: true,
        request: { prompt: "a red apple", seed: 3n },
      });
      // A letter of the prompt in our own metadata.
      const at = Buffer.from(signed).indexOf("red apple");
      const changed = Uint8Array.from(signed);
      changed[at] = "b".charCodeAt(0);
      expect((await verified(changed, format)).failures).toContain("assertion.dataHash.mismatch");
    },
  );

  it.each(["P-384", "RSA", "Ed25519"] as const)("may be signed by a key of %s", async (kind) => {
    const signer = await openSigner(await makeFiles(kind));
    expect(await verified(await image.encode("png", { signer }), "png")).toMatchObject(valid);
  });

  it("is refused as WebP, without metadata, and by a key that is not the certificate's", async () => {
    const signer = await openSigner(files);
    await expect(image.encode("webp", { signer })).rejects.toThrow("sign: must be for PNG or JPEG, got webp");
    await expect(image.encode("png", { signer, metadata: false })).rejects.toThrow(
      "sign: must be of generated images with their metadata",
    );
    const { key } = await makeFiles("P-384");
    await expect(openSigner({ ...files, key })).rejects.toThrow("key: must be that of the certificate");
    await expect(openSigner({ ...files, certificate: key })).rejects.toThrow("sign: must hold certificates");
  });
});

it("a server that signs gives signed files, and refuses WebP", async () => {
  const models = await openModelRegistry([tinyModel], { signed: true });
  const request = { prompt: "x", width: 64, height: 64, steps: 1 };
  await expect(resolveRequest({ ...request, outputFormat: "webp" }, models, defaultLimits)).rejects.toThrow(
    "outputFormat: must be for PNG or JPEG",
  );
  const processor = processorThread(models, { threads: 1, sign: files });
  try {
    const { signal } = new AbortController();
    const job = { request: await resolveRequest(request, models, defaultLimits), signal };
    for await (const event of processor.process([job])[0]!)
      if (event.type === "image") expect(await verified(event.image.bytes, "png")).toMatchObject(valid);
    expect.assertions(2);
  } finally {
    await processor.close();
  }
});
