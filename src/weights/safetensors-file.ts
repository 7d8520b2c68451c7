/** @file Reads and writes safetensors files: the header on opening, each tensor by a call of its own. */
import { listed, ModelError } from "../errors.js";
import {
  kindOf,
  readExactly,
  reading,
  readRange,
  realFile,
  writeAll,
  writeBeside,
} from "../files/file-system.js";
import { dtypeSizes, isFloatDtype, type StoredArray, toFloat32, viewStored } from "./dtype.js";
import { isPickle } from "./file-names.js";
import {
  dataBytes,
  encodeHeader,
  type Header,
  headerBytes,
  parseHeader,
  prefixBytes,
  type TensorEntry,
  type TensorLayout,
} from "./safetensors.js";

/** An opened file; `path` is real and absolute. It holds no handle, so there is nothing to close. */
export type SafetensorsFile = Header & {
  path: string;
  size: number;
  /** The tensor in its own dtype (F16 and BF16 as bits). ModelError for an unknown name. */
  read(name: string): Promise<StoredArray>;
  /** A float tensor as float32. ModelError for an integer tensor. */
  readFloats(name: string): Promise<Float32Array>;
};

/** Where a tensor lies, and what its bytes need to be the tensor; its `shape` is the tensor's. */
export type WeightEntry = TensorEntry & {
  file: string;
  /** The bytes are of the matrix with rows and columns exchanged. */
  transposed?: true;
  /** Multiplies the stored numbers, widened: one factor, or one for each of the first axis. */
  scale?: Float32Array<ArrayBuffer>;
};

/** A tensor to write; `data` may be a function that is called when it is written, to hold one tensor at a time. */
export type TensorSource = TensorLayout & { data: ArrayBufferView | (() => Promise<ArrayBufferView>) };

/** Refuses pickle checkpoints, whose loading runs the code in them. */
export function refusePickle(path: string): void {
  if (!isPickle(path)) return;
  const rule = `must be a .safetensors file, got a pickle checkpoint, whose loading runs code it holds`;
  throw new ModelError(
    path,
    `${rule}. Ask the model's author for safetensors, or convert it where you trust it.`,
  );
}

/** Says of a file that is named as a pickle checkpoint whether it is one; some sites rename safetensors. */
async function refuseCheckpoint(path: string): Promise<never> {
  const start = (await kindOf(path)) === "file" ? await readStart(path) : new Uint8Array();
  const isHeader = start.length > prefixBytes && start[prefixBytes] === 0x7b && start[prefixBytes - 1] === 0;
  if (!isHeader) refusePickle(path);
  throw new ModelError(
    path,
    "must be called .safetensors, got safetensors by another name. Rename the file.",
  );
}

const readStart = (path: string): Promise<Uint8Array> =>
  reading(path, path, async (handle) => {
    const { size } = await handle.stat();
    return readExactly(handle, path, 0, Math.min(size, prefixBytes + 1));
  });

/** Reads the header of a .safetensors file; ModelError for anything else. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  if (isPickle(path)) await refuseCheckpoint(path);
  const file = await realFile(path);
  const { header, size } = await reading(path, file, async (handle) => {
    const { size } = await handle.stat();
    const start = await readExactly(handle, path, 0, Math.min(size, prefixBytes));
    const bytes = await readExactly(handle, path, 0, headerBytes(start, size, path));
    return { header: parseHeader(bytes, size, path), size };
  });
  const entry = (name: string) => {
    const found = header.tensors.get(name);
    if (found) return { ...found, file };
    throw new ModelError(
      path,
      `must hold ${listed([name])}, got ${header.tensors.size} other tensors. ${check}`,
    );
  };
  return {
    ...header,
    path: file,
    size,
    read: (name) => readStored(entry(name)),
    readFloats: (name) => readFloat32(name, entry(name)),
  };
}

/** Writes a file tensor by tensor beside `path`, and renames it when it is complete; ModelError. */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, TensorSource>,
  { metadata = { format: "pt" } }: { metadata?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  const header = encodeHeader(tensors, metadata);
  await writeBeside(path, async (handle) => {
    await writeAll(handle, header.bytes);
    for (const name of header.tensors.keys()) {
      const { dtype, shape, data } = tensors.get(name)!;
      const made = typeof data === "function" ? await data() : data;
      await writeAll(handle, dataBytes(name, { dtype, shape, data: made }));
    }
  });
}

/**
 * As `writeSafetensors`, for what makes several tensors at once: each is written where it belongs, in any order.
 * `layouts` names all of them.
 */
export async function writeInAnyOrder(
  path: string,
  layouts: ReadonlyMap<string, TensorLayout>,
  tensors: AsyncIterable<readonly [name: string, data: ArrayBufferView]>,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const header = encodeHeader(layouts, metadata);
  await writeBeside(path, async (handle) => {
    await writeAll(handle, header.bytes);
    const missing = new Set(layouts.keys());
    for await (const [name, data] of tensors) {
      await writeAll(
        handle,
        dataBytes(name, { ...layouts.get(name)!, data }),
        header.tensors.get(name)!.offset,
      );
      missing.delete(name);
    }
    if (missing.size > 0) throw new Error(`internal: nothing was written of ${listed([...missing])}`);
  });
}

/** A tensor of a file in its own dtype (F16, BF16 and eight-bit floats as bits, I64 as BigInt64Array), without its scale. */
export async function readStored(entry: WeightEntry): Promise<StoredArray> {
  return viewStored(await readBytes(entry), entry.dtype);
}

/** The bytes of a tensor in the order of its shape, without its scale. */
export async function readBytes(entry: WeightEntry): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await readRange(entry.file, entry.offset, entry.length);
  return entry.transposed ? exchanged(bytes, entry.shape, dtypeSizes[entry.dtype]) : bytes;
}

/** A float tensor of a file as float32, with its scale; ModelError for an integer tensor. */
export async function readFloat32(name: string, entry: WeightEntry): Promise<Float32Array> {
  const { file, dtype, scale } = entry;
  if (!isFloatDtype(dtype)) {
    throw new ModelError(
      file,
      `${listed([name])} must be of a float dtype, got ${dtype}. Read it as stored.`,
    );
  }
  const floats = toFloat32(await readBytes(entry), dtype);
  if (!scale) return floats;
  const perFactor = floats.length / scale.length;
  return floats.map((x, i) => x * scale[Math.floor(i / perFactor)]!);
}

/** A matrix of `shape` from the bytes of its transpose. */
function exchanged(
  bytes: Uint8Array<ArrayBuffer>,
  [rows, columns]: readonly number[],
  size: number,
): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(bytes.length);
  for (let i = 0; i < rows!; i++)
    for (let j = 0; j < columns!; j++) {
      const [to, from] = [(i * columns! + j) * size, (j * rows! + i) * size];
      for (let b = 0; b < size; b++) out[to + b] = bytes[from + b]!;
    }
  return out;
}

const check = "Check the name.";
