/** @file The safetensors format: reads and writes headers and tensors as bytes in memory. */
import { listed, ModelError } from "../errors.js";
import { describe, isObject, type JsonObject, parseJsonObject } from "../files/json.js";
import { dtypeSizes, isStoredDtype, type StoredDtype } from "./dtype.js";

/** A tensor in a file: `offset` is from the start of the file, `length` in bytes. */
export type TensorEntry = { dtype: StoredDtype; shape: number[]; offset: number; length: number };
export type Header = { tensors: Map<string, TensorEntry>; metadata: Record<string, string> };
export type TensorLayout = { dtype: StoredDtype; shape: readonly number[] };
export type TensorData = TensorLayout & { data: ArrayBufferView };

/** Bytes of the length field that precedes the JSON. */
export const prefixBytes = 8;

const maxHeaderBytes = 100_000_000;
const again = "Download it again.";

/** The length of prefix and JSON, from the first 8 bytes of a file; ModelError where it is impossible. */
export function headerBytes(start: Uint8Array, fileSize: number, name: string): number {
  if (fileSize < prefixBytes || start.length < prefixBytes) {
    throw new ModelError(name, `must begin with an 8-byte header length, got ${fileSize} bytes. ${again}`);
  }
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const length = view.getBigUint64(0, true);
  if (length > maxHeaderBytes) {
    // Only now: the bytes of a valid length may equal another format's signature.
    const other = otherFormat(start);
    if (other) throw new ModelError(name, `must be a safetensors file, got ${other}`);
    const rule = "header must be at most 100 MB (this is not a safetensors file, or a broken one)";
    throw new ModelError(name, `${rule}, got a length of ${length} bytes. ${again}`);
  }
  const end = prefixBytes + Number(length);
  if (end > fileSize) {
    throw new ModelError(name, `header must end by byte ${end}, got a file of ${fileSize} bytes. ${again}`);
  }
  return end;
}

/**
 * Reads a header strictly; `bytes` holds at least prefix and JSON, `fileSize` is that of the whole file.
 * ModelError for everything that the format forbids (https://github.com/huggingface/safetensors#format).
 */
export function parseHeader(bytes: Uint8Array, fileSize: number, name: string): Header {
  const dataStart = headerBytes(bytes, fileSize, name);
  if (bytes.length < dataStart) {
    const rule = `header must be given whole (${dataStart} bytes)`;
    throw new ModelError(
      name,
      `${rule}, got ${bytes.length} bytes. Pass the file's first ${dataStart} bytes.`,
    );
  }
  const json = bytes.subarray(prefixBytes, dataStart);
  if (json[0] !== 0x7b) {
    throw new ModelError(name, `header must begin with "{", got byte ${json[0] ?? "none"}. ${again}`);
  }
  const root = parseJsonObject(json, name, "the header");
  const header: Header = { tensors: new Map(), metadata: {} };
  for (const [key, value] of Object.entries(root)) {
    if (key === "__metadata__") header.metadata = readMetadata(value, name);
    else header.tensors.set(key, readEntry(key, value, dataStart, name));
  }
  checkCoverage(header.tensors, dataStart, fileSize, name);
  return header;
}

/**
 * The header of a file with the reference implementation's layout (larger dtypes first, then by name): its bytes, padded
 * with spaces to a multiple of 8, and the entries in file order.
 */
export function encodeHeader(
  layouts: ReadonlyMap<string, TensorLayout>,
  metadata: Readonly<Record<string, string>> = { format: "pt" },
): { bytes: Uint8Array; tensors: Map<string, TensorEntry> } {
  const rank = Object.keys(dtypeSizes);
  const ordered = [...layouts].sort(
    ([a, x], [b, y]) => rank.indexOf(x.dtype) - rank.indexOf(y.dtype) || (a < b ? -1 : 1),
  );
  const parts: string[] = [];
  if (Object.keys(metadata).length > 0) parts.push(`"__metadata__":${JSON.stringify(metadata)}`);
  const tensors = new Map<string, TensorEntry>();
  let end = 0;
  for (const [name, { dtype, shape }] of ordered) {
    const offset = end;
    end += elements(shape) * dtypeSizes[dtype];
    const entry = JSON.stringify({ dtype, shape, data_offsets: [offset, end] });
    parts.push(`${JSON.stringify(name)}:${entry}`);
    tensors.set(name, { dtype, shape: [...shape], offset, length: end - offset });
  }
  const bytes = prefixed(`{${parts.join(",")}}`);
  for (const entry of tensors.values()) entry.offset += bytes.length;
  return { bytes, tensors };
}

/** A whole file in memory; ModelError where data does not fit its shape. `metadata` {} writes none. */
export function serialize(
  tensors: ReadonlyMap<string, TensorData>,
  metadata: Readonly<Record<string, string>> = { format: "pt" },
): Uint8Array {
  const header = encodeHeader(tensors, metadata);
  const size = [...header.tensors.values()].reduce((sum, t) => sum + t.length, header.bytes.length);
  const file = new Uint8Array(size);
  file.set(header.bytes);
  for (const [name, { offset }] of header.tensors) file.set(dataBytes(name, tensors.get(name)!), offset);
  return file;
}

/** A tensor's bytes, checked against its shape and dtype; ModelError. */
export function dataBytes(name: string, { dtype, shape, data }: TensorData): Uint8Array {
  const expected = elements(shape) * dtypeSizes[dtype];
  if (data.byteLength !== expected) {
    const rule = `${dtype} [${shape.join(", ")}] must be ${expected} bytes`;
    throw new ModelError(`tensor "${name}"`, `${rule}, got ${data.byteLength}. Give the data in its dtype.`);
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function prefixed(json: string): Uint8Array {
  const text = new TextEncoder().encode(json);
  const length = Math.ceil(text.length / 8) * 8;
  const bytes = new Uint8Array(prefixBytes + length).fill(0x20, prefixBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(text, prefixBytes);
  return bytes;
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

function readMetadata(value: unknown, file: string): Record<string, string> {
  const entries = isObject(value) ? Object.entries(value) : undefined;
  const bad = entries?.find(([, text]) => typeof text !== "string");
  if (!entries || bad) {
    const got = bad ? `"${bad[0]}": ${describe(bad[1])}` : describe(value);
    throw new ModelError(file, `__metadata__ must map names to strings, got ${got}. Write the file again.`);
  }
  return Object.fromEntries(entries) as Record<string, string>;
}

function readEntry(tensor: string, value: unknown, dataStart: number, file: string): TensorEntry {
  const fail = (rule: string, got: string, remedy = again): never => {
    throw new ModelError(file, `tensor ${listed([tensor])} ${rule}, got ${got}. ${remedy}`);
  };
  const {
    dtype,
    shape,
    data_offsets: range,
  }: JsonObject = isObject(value) ? value : fail("must be an object", describe(value));
  if (!isStoredDtype(dtype)) {
    const known = Object.keys(dtypeSizes).join(", ");
    return fail(`must have a dtype of ${known}`, describe(dtype), "Convert the file to one of them.");
  }
  if (!isSizes(shape)) return fail("must have a shape of integers from 0", show(shape));
  if (!isSizes(range) || range.length !== 2 || range[0]! > range[1]!) {
    return fail("must have data_offsets [begin, end] with begin <= end", show(range));
  }
  const length = range[1]! - range[0]!;
  const expected = elements(shape) * dtypeSizes[dtype];
  if (expected !== length) return fail(`(${dtype} ${show(shape)}) must be ${expected} bytes`, `${length}`);
  return { dtype, shape: [...shape], offset: dataStart + range[0]!, length };
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0 && !Object.is(n, -0));
}

function show(value: unknown): string {
  return Array.isArray(value) && value.length <= 8 ? JSON.stringify(value) : describe(value);
}

/** The format's rule: sorted by offset, tensors follow one another without a gap, and the last ends the file. */
function checkCoverage(
  tensors: ReadonlyMap<string, TensorEntry>,
  dataStart: number,
  fileSize: number,
  file: string,
) {
  const placed = [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.length - b.length);
  const dataEnd = placed.reduce((end, [, t]) => Math.max(end, t.offset + t.length), dataStart);
  if (dataEnd > fileSize) {
    const rule = `must be ${dataEnd} bytes to hold the tensors its header names (the file is cut short)`;
    throw new ModelError(file, `${rule}, got ${fileSize} bytes. ${again}`);
  }
  let end = dataStart;
  for (const [name, { offset, length }] of placed) {
    if (offset !== end) {
      const rule = `tensor ${listed([name])} must begin at byte ${end}, where the tensor before it ends`;
      const fault = offset < end ? "they overlap" : "the bytes between belong to none";
      throw new ModelError(file, `${rule}, got ${offset} (${fault}). Write the file again.`);
    }
    end += length;
  }
  if (end !== fileSize) {
    const rule = `must end with its last tensor, at byte ${end}`;
    throw new ModelError(file, `${rule}, got ${fileSize - end} bytes more. ${again}`);
  }
}

/** The format of another kind of file, with the remedy; undefined for an unknown one. */
function otherFormat(start: Uint8Array): string | undefined {
  const text = String.fromCharCode(...start.subarray(0, 8));
  if (text.startsWith("version "))
    return 'a Git LFS pointer. Run "git lfs pull", or download the file itself.';
  if (/^\s*<(!|html|\?xml)/i.test(text)) return "a web page. Download the file itself, not its page.";
  if (text.startsWith("PK\x03\x04") || start[0] === 0x80) {
    return "a pickle checkpoint, and unpickling runs code. Ask for the model's .safetensors files.";
  }
  if (/^\s*[{[]/.test(text)) return "a JSON text, as sites send instead of a file. Download it again.";
  if (text.startsWith("GGUF")) return "a GGUF file. Ask for the model's .safetensors files.";
  return undefined;
}
