/** @file The files of a program's weights, as ONNX Runtime's web builds take them. */

import { blobOf } from "../../files/file-system.browser.js";
import { join } from "../../files/path.js";
import type { Program } from "../program.js";

/** In Workers alone. */
const { FileReaderSync } = globalThis as {
  FileReaderSync?: new () => { readAsArrayBuffer(blob: Blob): ArrayBuffer };
};

/** By location: in a Worker nothing of a file is read yet, and never more of it than is asked for and a few windows. */
export async function weightFiles({ files = [], folder = "", memory = new Map() }: Program) {
  const held = [...memory].map(([path, data]) => ({ path, data }));
  const opened = files.map(async (path) => ({ path, data: await bytesOf(await blobOf(join(folder, path))) }));
  return [...held, ...(await Promise.all(opened))];
}

async function bytesOf(blob: Blob): Promise<Uint8Array> {
  if (!FileReaderSync) return new Uint8Array(await blob.arrayBuffer());
  // ONNX Runtime takes arrays, of which it asks the length and, for each weight, a part (1.30; its JSPI build takes Blobs).
  return Object.defineProperties(new Uint8Array(0), {
    byteLength: { value: blob.size },
    subarray: { value: rangesOf(blob, new FileReaderSync()) },
  });
}

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
