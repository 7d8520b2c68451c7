/**
 * @file Content credentials (C2PA): a signed statement inside a PNG or JPEG that a trained model made it, by which program,
 * over a hash of the whole file. Pixels and our own metadata stay as they are.
 */

import { createPrivateKey, type KeyObject, randomUUID, sign, X509Certificate } from "node:crypto";
import type { Signer } from "@trustnxt/c2pa-ts/cose";
import { InvalidRequest } from "../errors.js";
import { readFile } from "../files/file-system.js";
import { unsignable } from "./unsignable.js";

/** Files in PEM: a certificate with those that it was issued by, and its private key without a passphrase. */
export type SigningFiles = { certificate: string; key: string };

/** Signs image files. `openSigner` makes one. */
export type ContentSigner = {
  /** @internal */
  readonly signer: Signer;
};

/** What the signed statement says of an image. */
export type SignedFacts = {
  /** The program, "koala-diffusion 1.0.0". */
  app: string;
  /** Whether the generation began with another image. */
  edited: boolean;
};

/** Opens a certificate and its key; InvalidRequest for files that are neither, or that do not belong together. */
export async function openSigner({ certificate, key }: SigningFiles): Promise<ContentSigner> {
  const chain = certificatesIn(new TextDecoder().decode(await readFile(certificate)), certificate);
  const privateKey = keyIn(await readFile(key), key);
  if (!new X509Certificate(chain[0]!).checkPrivateKey(privateKey)) {
    const rule = `must be that of the certificate ${certificate}, got another. Name the two that belong together.`;
    throw new InvalidRequest("key", key, rule);
  }
  const { X509Certificate: Certificate } = await import("@peculiar/x509");
  const [own, ...issuers] = chain.map((der) => new Certificate(der));
  const { cose, sign } = signatureOf(privateKey, key);
  return {
    signer: {
      ...{ algorithm: cose, certificate: own!, chainCertificates: issuers },
      sign: async (payload) => new Uint8Array(sign(payload)),
    },
  };
}

/** The bytes of each certificate, the signer's own first. */
function certificatesIn(text: string, file: string): Uint8Array<ArrayBuffer>[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  try {
    const chain = blocks.map((pem) => Uint8Array.from(new X509Certificate(pem).raw));
    if (chain.length > 0) return chain;
  } catch {}
  const rule =
    'must hold certificates in PEM ("-----BEGIN CERTIFICATE-----"), the signer\'s first, got none.';
  throw new InvalidRequest("sign", file, rule);
}

function keyIn(bytes: Uint8Array, file: string): KeyObject {
  try {
    return createPrivateKey(Buffer.from(bytes));
  } catch {
    const rule = "must be a private key in PEM without a passphrase, got a file that cannot be read as one.";
    throw new InvalidRequest("key", file, rule);
  }
}

/** COSE's number of an algorithm (RFC 9053), and its signatures, which of elliptic curves are r and s alone (P1363). */
type Signature = { cose: number; sign: (payload: Uint8Array) => Buffer };

const [curves, digests] = [
  { prime256v1: [-7, "sha256"], secp384r1: [-35, "sha384"], secp521r1: [-36, "sha512"] },
  { rsa: "sha256", pss: 6 },
] as const;

function signatureOf(key: KeyObject, file: string): Signature {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === "ed25519") return { cose: -8, sign: (payload) => sign(null, payload, key) };
  if (type === "rsa" || type === "rsa-pss") {
    const options = { key, padding: digests.pss, saltLength: 32 };
    return { cose: -37, sign: (payload) => sign(digests.rsa, payload, options) };
  }
  const curve = curves[details?.namedCurve as keyof typeof curves];
  if (type === "ec" && curve)
    return { cose: curve[0], sign: (payload) => sign(curve[1], payload, { key, dsaEncoding: "ieee-p1363" }) };
  const got = [type, details?.namedCurve].filter((one) => one !== undefined).join(" ");
  throw new InvalidRequest("key", file, `must be of P-256, P-384, P-521, Ed25519 or RSA, got ${got}.`);
}

const mediaTypes = { png: "image/png", jpeg: "image/jpeg" } as const;

/** The file with content credentials inside, over a hash of all the rest; InvalidRequest for another format. */
export async function withCredentials(
  file: Uint8Array,
  format: "png" | "jpeg" | "webp",
  by: ContentSigner,
  { app, edited }: SignedFacts,
): Promise<Uint8Array> {
  const { signer } = by;
  if (format === "webp") throw new InvalidRequest("sign", format, unsignable);
  const [{ JPEG, PNG }, { ActionAssertion, DataHashAssertion, ManifestStore, ...names }] = await Promise.all([
    import("@trustnxt/c2pa-ts/asset"),
    import("@trustnxt/c2pa-ts/manifest"),
  ]);
  const asset = format === "png" ? new PNG(file) : new JPEG(file);
  const store = new ManifestStore();
  const manifest = store.createManifest({
    ...{ assetFormat: mediaTypes[format], instanceID: `xmp:iid:${randomUUID()}` },
    ...{ defaultHashAlgorithm: "SHA-256", signer },
  });
  const [name, version] = app.split(" ") as [string, string | undefined];
  manifest.claim!.claimGeneratorName = name;
  manifest.claim!.claimGeneratorVersion = version;
  const { DigitalSourceType: source } = names;
  const actions = new ActionAssertion();
  actions.actions.push({
    action: names.ActionType.C2paCreated,
    // An object: as a text the reference implementation refuses the claim.
    softwareAgent: { name, ...(version !== undefined && { version }) },
    digitalSourceType: edited ? source.CompositeWithTrainedAlgorithmicMedia : source.TrainedAlgorithmicMedia,
  });
  manifest.addAssertion(actions);
  const hash = DataHashAssertion.create("SHA-256");
  manifest.addAssertion(hash);
  await asset.ensureManifestSpace(store.measureSize());
  await hash.updateWithAsset(asset);
  await manifest.sign(signer);
  await asset.writeManifestJUMBF(store.getBytes());
  return asset.getDataRange();
}
