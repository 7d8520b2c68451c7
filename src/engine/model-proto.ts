/**
 * @file The messages of an ONNX model, as far as they are written here, with the numbers of their fields.
 * https://github.com/onnx/onnx/blob/v1.16.0/onnx/onnx.proto3
 */

import { bytes, encode, float, int, many, message, one, packed, text, type ValueOf } from "./protobuf.js";

const entry = message({ key: one(1, text), value: one(2, text) });

const tensor = message({
  dims: packed(1),
  dataType: one(2, int),
  name: one(8, text),
  rawData: one(9, bytes),
  externalData: many(13, entry),
  dataLocation: one(14, int),
});
export type TensorProto = ValueOf<typeof tensor>;
/** `dataLocation` of a tensor whose bytes are in a file. */
export const external = 1;

const attribute = message({
  name: one(1, text),
  f: one(2, float),
  i: one(3, int),
  s: one(4, bytes),
  ints: packed(8),
  type: one(20, int),
});
export type AttributeProto = ValueOf<typeof attribute>;
/** `type` of an attribute. */
export const attributeType = { float: 1, int: 2, string: 3, ints: 7 } as const;

const node = message({
  input: many(1, text),
  output: many(2, text),
  name: one(3, text),
  opType: one(4, text),
  attribute: many(5, attribute),
  domain: one(7, text),
});
export type NodeProto = ValueOf<typeof node>;

const dimension = message({ dimValue: one(1, int), dimParam: one(2, text) });
const tensorType = message({ elemType: one(1, int), shape: one(2, message({ dim: many(1, dimension) })) });
const valueInfo = message({ name: one(1, text), type: one(2, message({ tensorType: one(1, tensorType) })) });
export type ValueInfoProto = ValueOf<typeof valueInfo>;

const graph = message({
  node: many(1, node),
  name: one(2, text),
  initializer: many(5, tensor),
  input: many(11, valueInfo),
  output: many(12, valueInfo),
});

const model = message({
  irVersion: one(1, int),
  producerName: one(2, text),
  graph: one(7, graph),
  opsetImport: many(8, message({ domain: one(1, text), version: one(2, int) })),
});

export const encodeModel = (value: ValueOf<typeof model>): Uint8Array => encode(model, value);
