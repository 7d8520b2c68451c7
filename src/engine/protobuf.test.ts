/** @file The bytes of protocol buffers: the format's own examples, and whole networks beside protobufjs. */

import proto from "onnx-proto";
import { describe, expect, it } from "vitest";
import { knownUnets } from "../models/known.js";
import { traceUnet } from "../models/trace.js";
import { unetConfig } from "../models/unet-config.js";
import { Params, tracing } from "../tensor/params.js";
import { cpu, standard } from "./device.js";
import { lower } from "./lower.js";
import { bytes, encode, float, int, many, message, one, packed, text } from "./protobuf.js";

const hex = (written: Uint8Array) => Buffer.from(written).toString("hex");

describe("a protocol buffer", () => {
  // https://protobuf.dev/programming-guides/encoding/
  it("has the bytes of the format's examples", () => {
    const inner = message({ a: one(1, int) });
    const of = message({
      ...{
        a: one(1, int),
        b: one(2, text),
        c: one(3, inner),
        e: many(5, int),
        f: packed(6),
        g: one(7, float),
      },
    });
    expect(hex(encode(of, { a: 150 }))).toBe("089601");
    expect(hex(encode(of, { a: -2 }))).toBe("08feffffffffffffffff01");
    expect(hex(encode(of, { b: "testing" }))).toBe("120774657374696e67");
    expect(hex(encode(of, { c: { a: 150 } }))).toBe("1a03089601");
    expect(hex(encode(of, { e: [1, 2, 3] }))).toBe("280128022803");
    expect(hex(encode(of, { f: [3, 270, 86942] }))).toBe("3206038e029ea705");
    expect(hex(encode(of, { f: [], e: [] }))).toBe("");
    expect(hex(encode(of, { a: 2 ** 53 - 1, g: -1.5 }))).toBe("08ffffffffffffff0f3d0000c0bf");
  });

  it.each([127, 128, 16_383, 16_384, 2 ** 21])("of %s bytes has its length before it", (size) => {
    const of = message({ b: one(1, text), after: one(2, int) });
    const written = Buffer.from(encode(of, { b: "x".repeat(size), after: 7 }));
    const prefix = written.subarray(1, written.indexOf("x"));
    expect(prefix.reduceRight((sum, byte) => sum * 128 + (byte & 127), 0)).toBe(size);
    expect(written.length).toBe(1 + prefix.length + size + 2);
    expect(hex(written.subarray(-2))).toBe("1007");
  });

  it("is whole wherever its buffer has to grow", () => {
    const of = message({ before: one(1, bytes), b: one(2, text) });
    for (let size = 4000; size < 4200; size++) {
      const written = encode(of, { before: new Uint8Array(size), b: "v7" });
      expect([size, hex(written.subarray(3 + size))]).toEqual([size, "12027637"]);
    }
  });
});

describe("an ONNX model", () => {
  const { ModelProto, TensorProto } = proto.onnx;

  it.each([
    ["SD 2", cpu],
    ["KOALA-700M", standard],
  ] as const)("of %s's U-Net has protobufjs's bytes", (name, device) => {
    const c = unetConfig(knownUnets[name]);
    const file = { location: "unet/model.safetensors", offset: 2 ** 33, length: 640 };
    const weights = new Map([["conv_in.bias", { dtype: "F16", shape: [320], ...file } as const]]);
    const { model, nodes } = lower("unet", { out: traceUnet(new Params(tracing()), c) }, { device, weights });
    const read = ModelProto.decode(model);
    expect(Buffer.compare(ModelProto.encode(read).finish(), model)).toBe(0);
    expect(read.graph!.node).toHaveLength(nodes);
    const { node, initializer, input } = read.graph!;
    const known = new Set(["", ...[...initializer!, ...input!].map((one) => one.name!)]);
    for (const { output } of node!) for (const result of output!) known.add(result);
    expect(node!.flatMap((one) => one.input!).filter((name) => !known.has(name))).toEqual([]);
    const weight = read.graph!.initializer!.find((one) => one.name === "conv_in.bias")!;
    expect(weight.dataLocation).toBe(TensorProto.DataLocation.EXTERNAL);
    expect(Object.fromEntries(weight.externalData!.map(({ key, value }) => [key, value]))).toEqual({
      ...file,
      offset: String(file.offset),
      length: String(file.length),
    });
  });
});
