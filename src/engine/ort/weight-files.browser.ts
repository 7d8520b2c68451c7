/** @file The files of a program's weights, as ONNX Runtime's web builds take them. */

import { blobOf } from "../../files/file-system.browser.js";
import { join } from "../../files/path.js";
import { dtypeSizes, widenedBytes } from "../../weights/dtype.js";
import type { Program, WidenedWeight } from "../program.js";

/** In Workers alone. */
const { FileReaderSync } = globalThis as {
  FileReaderSync?: new () => { readAsArrayBuffer(blob: Blob): ArrayBuffer };
};

/** By location: in a Worker nothing of a file is read yet, and never more of it than is asked for and a few windows. */
export async function weightFiles(program: Program) {
  const { files = [], folder = "", memory = new Map(), widened = new Map() } = program;
  const locations = new Set([...files, ...[...widened.values()].map(({ location }) => location)]);
  const blobs = new Map([...locations].map((location) => [location, blobOf(join(folder, location))]));
  const held = [...memory].map(([path, data]) => ({ path, data }));
  const opened = files.map(async (path) => ({ path, data: await bytesOf((await blobs.get(path))!) }));
  const converted = [...widened].map(async ([path, weight]) => ({
    path,
    data: await widenedOf((await blobs.get(weight.location))!, weight),
  }));
  return [...held, ...(await Promise.all([...opened, ...converted]))];
}

/** One weight in float32, of a file with another type. */
async function widenedOf(blob: Blob, { offset, length, dtype }: WidenedWeight): Promise<Uint8Array> {
  const part = blob.slice(offset, offset + length);
  if (!FileReaderSync) return widenedBytes(new Uint8Array(await part.arrayBuffer()), dtype);
  const reader = new FileReaderSync();
  const read = () => widenedBytes(new Uint8Array(reader.readAsArrayBuffer(part)), dtype);
  return readWhenAsked((length / dtypeSizes[dtype]) * 4, (from, to) => read().subarray(from, to));
}

async function bytesOf(blob: Blob): Promise<Uint8Array> {
  if (!FileReaderSync) return new Uint8Array(await blob.arrayBuffer());
  return readWhenAsked(blob.size, rangesOf(blob, new FileReaderSync()));
}

/** ONNX Runtime takes arrays, of which it asks the length and, for each weight, a part (1.30; its JSPI build takes Blobs). */
const readWhenAsked = (byteLength: number, subarray: (from: number, to: number) => Uint8Array): Uint8Array =>
  Object.defineProperties(new Uint8Array(0), {
    byteLength: { value: byteLength },
    subarray: { value: subarray },
  });

/** A network has hundreds of small weights, of which each read would cost a way to the browser's process. */
const windowBytes = 2 ** 20;
const mostWindows = 32;

function rangesOf(blob: Blob, reader: { readAsArrayBuffer(blob: Blob): ArrayBuffer }) {
  const read = (from: number, to: number) => new Uint8Array(reader.readAsArrayBuffer(blob.slice(from, to)));
  /** By their first byte, the last used at the end. */
  const windows = new Map<number, Uint8Array>();
  return (from: number, to: number): Uint8Array => {
    const start = from - (from % windowBytes);
    if (to > start + windowBytes) return read(from, to);
    const found = windows.get(start) ?? read(start, start + windowBytes);
    windows.delete(start);
    windows.set(start, found);
    if (windows.size > mostWindows) windows.delete(windows.keys().next().value!);
    return found.subarray(from - start, to - start);
  };
}
