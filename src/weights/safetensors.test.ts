/** @file The safetensors reader and writer, on files of the reference implementation and on broken bytes. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ModelError } from "../errors.js";
import { encodeHeader, parseHeader, serialize, type TensorData } from "./safetensors.js";

const golden = new URL("../../golden/data/", import.meta.url).pathname;
const goldenFiles = readdirSync(golden, { recursive: true, encoding: "utf8" }).filter((f) =>
  f.endsWith(".safetensors"),
);

/** A file of the given header text over `size` bytes of data. */
function file(json: string, size = 0): Uint8Array {
  const text = new TextEncoder().encode(json);
  const bytes = new Uint8Array(8 + text.length + size);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const read = (bytes: Uint8Array) => parseHeader(bytes, bytes.length, "x.safetensors");
const f32 = (...values: number[]): TensorData => ({
  dtype: "F32",
  shape: [values.length],
  data: new Float32Array(values),
});

describe("the writer", () => {
  it("gives, for every golden file, the header the reference implementation wrote, byte for byte", () => {
    expect(goldenFiles.length).toBeGreaterThan(50);
    for (const name of goldenFiles) {
      const bytes = readFileSync(join(golden, name));
      const { tensors, metadata } = parseHeader(bytes, bytes.length, name);
      const encoded = encodeHeader(tensors, metadata);
      expect(Buffer.compare(encoded.bytes, bytes.subarray(0, encoded.bytes.length)), name).toBe(0);
      expect([...encoded.tensors.values()], name).toEqual(
        [...encoded.tensors.keys()].map((key) => tensors.get(key)),
      );
    }
  });

  it("writes the format pt, as Diffusers demands, unless metadata is given", () => {
    expect(read(serialize(new Map([["a", f32(1)]]))).metadata).toEqual({ format: "pt" });
    expect(read(serialize(new Map([["a", f32(1)]]), {})).metadata).toEqual({});
  });

  it("keeps names that JavaScript objects would reorder or swallow", () => {
    const names = ["10", "9", "__proto__", "constructor", 'quote"', "ü"];
    const { tensors } = read(serialize(new Map(names.map((name) => [name, f32(1, 2)]))));
    expect(new Set(tensors.keys())).toEqual(new Set(names));
  });

  it("refuses data that does not fill its shape", () => {
    const tensors = new Map([["a", { ...f32(1, 2), shape: [3] }]]);
    expect(() => serialize(tensors)).toThrow('tensor "a": F32 [3] must be 12 bytes, got 8.');
  });
});

describe("the reader", () => {
  it("accepts scalars, empty tensors and unaligned data", () => {
    const a = '"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}';
    const b = '"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}';
    const c = '"c":{"dtype":"F32","shape":[0,7],"data_offsets":[5,5]}';
    const { tensors } = read(file(`{${c},${b},${a}}`, 5));
    expect(tensors.get("b")!.offset - tensors.get("a")!.offset).toBe(1);
    expect(tensors.get("c")).toMatchObject({ shape: [0, 7], length: 0 });
  });

  it("accepts a header length whose bytes happen to be a pickle's first bytes", () => {
    const start = "{}".padEnd(0x0280, " ");
    expect(read(file(start)).tensors.size).toBe(0);
  });

  const tensor = (fields: string) => `{"a":{${fields}}}`;
  const whole = tensor('"dtype":"F32","shape":[2],"data_offsets":[0,8]');
  const two = (begin: number, end: number) =>
    `{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},` +
    `"b":{"dtype":"U8","shape":[${end - begin}],"data_offsets":[${begin},${end}]}}`;
  const huge = new Uint8Array(16).fill(0xff);

  it.each<[string, Uint8Array, RegExp]>([
    ["nothing", new Uint8Array(0), /must begin with an 8-byte header length, got 0 bytes/],
    ["a length beyond 100 MB", huge, /at most 100 MB .* got a length of 18446744073709551615/],
    ["a length beyond the file", file(whole, 8).subarray(0, 30), /got a file of 30 bytes/],
    ["a truncated download", file(whole, 7), /to hold the tensors .*cut short.*got \d+ bytes\. Download/],
    ["bytes after the last tensor", file(whole, 9), /must end with its last tensor.*got 1 bytes more/],
    ["a list", file("[]"), /must begin with "{", got byte 91/],
    ["an empty header", file(""), /must begin with "{", got byte none/],
    ["broken JSON", file('{"a":\n  oops}'), /not valid JSON: unexpected "oops}" at line 2, column 3/],
    ["JSON that ends early", file('{"a":{'), /not valid JSON: it ends too early, at line 1, column 7/],
    ["bytes that are not UTF-8", file("{}").map((b, i) => (i === 9 ? 0xff : b)), /must be UTF-8/],
    ["a key given twice", file('{"a":1,"\\u0061":1}'), /each key once, got "a" twice/],
    ["a dtype given twice", file(tensor('"dtype":"F32","dtype":"I32"')), /got "dtype" twice/],
    ["an unknown dtype", file(tensor('"dtype":"F4"')), /dtype of I64, .*got "F4"\. Convert/],
    ["a dtype of Object.prototype", file(tensor('"dtype":"toString"')), /got "toString"/],
    ["a negative size", file(tensor('"dtype":"F32","shape":[-1]')), /integers from 0, got \[-1\]/],
    ["a broken size", file(tensor('"dtype":"F32","shape":[1.5]')), /got \[1.5\]/],
    ["an unsafe size", file(tensor('"dtype":"F32","shape":[9007199254740992]')), /integers from 0/],
    ["a size of minus zero", file(tensor('"dtype":"F32","shape":[-0]')), /integers from 0/],
    ["no shape", file(tensor('"dtype":"F32"')), /integers from 0, got nothing/],
    ["no offsets", file(tensor('"dtype":"F32","shape":[]')), /data_offsets \[begin, end\].*got nothing/],
    ["a tensor that is a number", file('{"a":3}'), /tensor "a" must be an object, got 3/],
    [
      "offsets backwards",
      file(tensor('"dtype":"F32","shape":[],"data_offsets":[4,0]')),
      /begin <= end, got \[4,0\]/,
    ],
    [
      "a shape beyond its bytes",
      file(tensor('"dtype":"F32","shape":[3],"data_offsets":[0,8]'), 8),
      /\(F32 \[3\]\) must be 12 bytes, got 8/,
    ],
    [
      "a shape whose product overflows",
      file(tensor('"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]')),
      /must be 18446744073709552000 bytes, got 0/,
    ],
    ["an overlap", file(two(2, 6), 6), /tensor "b" must begin at byte \d+.*they overlap/],
    ["a gap", file(two(5, 7), 7), /tensor "b" must begin at byte \d+.*belong to none/],
    ["metadata that is no text", file('{"__metadata__":{"step":3}}'), /names to strings, got "step": 3/],
    ["a Git LFS pointer", Buffer.from("version https://git-lfs.github.com/spec/v1\n"), /git lfs pull/],
    ["a web page", Buffer.from("<!DOCTYPE html><html>"), /got a web page/],
    ["an error of a site", Buffer.from('{"error":"not found"}'), /got a JSON text/],
    ["a zip checkpoint", Buffer.from("PK\x03\x04\x00\x00\x08\x08", "latin1"), /unpickling runs code/],
    ["a pickle", Buffer.from("\x80\x02}q\x00(X\x01\x00", "latin1"), /unpickling runs code/],
  ])("refuses %s", (_, bytes, message) => {
    expect(() => read(bytes)).toThrow(ModelError);
    expect(() => read(bytes)).toThrow(message);
  });
});
