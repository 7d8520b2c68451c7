/** @file Writes one ONNX model, node by node. Independent of tensors and networks. */

import { float32ToFloat16 } from "../weights/half.js";
import {
  type AttributeProto,
  attributeType,
  encodeModel,
  external,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from "./model-proto.js";

/** ONNX's numbers for element types. */
const elementType = {
  F32: 1,
  U8: 2,
  I8: 3,
  I16: 5,
  I32: 6,
  I64: 7,
  BOOL: 9,
  F16: 10,
  F64: 11,
  BF16: 16,
  F8_E4M3: 17,
  F8_E5M2: 19,
} as const;
export type ElementType = keyof typeof elementType;

/** Where a value lies in a file beside the model. */
export type External = { location: string; offset: number; length: number };
export type Attribute = number | string | readonly number[] | { float: number };

const opset = 21;

/** Collects nodes, inputs and initialisers of a graph; a value is its name. */
export class GraphWriter {
  readonly #nodes: NodeProto[] = [];
  readonly #inputs: ValueInfoProto[] = [];
  readonly #initializers: TensorProto[] = [];
  /** Names of inputs and weights. */
  readonly #given = new Set<string>();
  /** By type, shape and checksum. */
  readonly #constants = new Map<string, { name: string; rawData: Uint8Array }[]>();
  #constantCount = 0;

  /** Adds an operation and returns the name of its result. */
  node(
    opType: string,
    inputs: readonly string[],
    attributes: Record<string, Attribute> = {},
    domain = "",
  ): string {
    return this.nodeOf(1, opType, inputs, attributes, domain)[0]!;
  }

  /** As `node`, for an operation of several results. */
  nodeOf(
    results: number,
    opType: string,
    inputs: readonly string[],
    attributes: Record<string, Attribute> = {},
    domain = "",
  ): string[] {
    const first = `v${this.#nodes.length}`;
    const output = Array.from({ length: results }, (_, i) => (i === 0 ? first : `${first}_${i}`));
    this.#nodes.push({
      opType,
      domain,
      name: `${opType}_${this.#nodes.length}`,
      input: [...inputs],
      output,
      attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
    });
    return output;
  }

  /** As `node`, for an operator that ONNX Runtime adds to the standard. */
  contrib(opType: string, inputs: readonly string[], attributes: Record<string, Attribute> = {}): string {
    return this.node(opType, inputs, attributes, "com.microsoft");
  }

  /** An input of the program, of any shape if `dims` is not given; one of the same name is written once. */
  input(name: string, type: ElementType, dims: readonly (number | string)[] | undefined): string {
    if (!this.#given.has(name)) this.#inputs.push(valueInfo(name, type, dims));
    this.#given.add(name);
    return name;
  }

  /** A weight that ONNX Runtime reads from a file; one of the same name is written once. */
  weight(name: string, type: ElementType, dims: readonly number[], at: External): string {
    if (this.#given.has(name)) return name;
    this.#given.add(name);
    this.#initializers.push({
      name,
      dataType: elementType[type],
      dims: [...dims],
      dataLocation: external,
      externalData: Object.entries(at).map(([key, value]) => ({ key, value: String(value) })),
    });
    return name;
  }

  /** A constant inside the model; equal ones are written once. Floats beyond float16 become its largest number there. */
  constant(
    data: Float32Array | BigInt64Array,
    dims: readonly number[] = [data.length],
    type: "F32" | "F16" = "F32",
  ): string {
    const dataType = elementType[data instanceof BigInt64Array ? "I64" : type];
    const stored = data instanceof Float32Array && type === "F16" ? clampedFloat16(data) : data;
    const rawData = new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
    const key = `${dataType}[${dims.join()}]${checksum(rawData)}`;
    const alike = this.#constants.get(key) ?? [];
    const known = alike.find((c) => c.rawData.every((byte, i) => byte === rawData[i]));
    if (known) return known.name;
    const name = `c${this.#constantCount++}`;
    this.#initializers.push({ name, dataType, dims: [...dims], rawData });
    this.#constants.set(key, [...alike, { name, rawData }]);
    return name;
  }

  /**
   * What is computed from weights alone before all else: of the inputs of an operation ONNX Runtime computes later ones of
   * the list first, so otherwise those of all layers at once (`memory/execution-order.ts`).
   */
  #weightsFirst(): NodeProto[] {
    const fixed = new Set(this.#initializers.map(({ name }) => name));
    const [first, others]: [NodeProto[], NodeProto[]] = [[], []];
    for (const node of this.#nodes) {
      const isFixed = node.input!.every((name) => fixed.has(name!));
      (isFixed ? first : others).push(node);
      if (isFixed) for (const name of node.output!) fixed.add(name!);
    }
    return [...first, ...others];
  }

  ints(...values: number[]): string {
    return this.constant(BigInt64Array.from(values, BigInt));
  }

  /** The encoded model, and how many nodes it has. A node that computes a result is given its name; a copy is needed only of an input or of a
   * result with two names. */
  encode(
    name: string,
    outputs: readonly { name: string; value: string; type: ElementType; rank?: number }[],
    { widensLate = false }: { widensLate?: boolean } = {},
  ): { model: Uint8Array; nodes: number } {
    const renamed = new Map<string, string>();
    const computed = new Set(this.#nodes.flatMap((node) => node.output ?? []));
    const copies: NodeProto[] = [];
    for (const { name, value } of outputs) {
      if (computed.has(value) && !renamed.has(value)) renamed.set(value, name);
      else copies.push({ opType: "Identity", name: `output_${name}`, input: [value], output: [name] });
    }
    const current = (value: string) => renamed.get(value) ?? value;
    const written = widensLate ? this.#weightsFirst() : this.#nodes;
    const node = [...written, ...copies].map((n) => ({
      ...n,
      input: (n.input ?? []).map(current),
      output: (n.output ?? []).map(current),
    }));
    const model = encodeModel({
      irVersion: 10,
      producerName: "koala-diffusion",
      opsetImport: [
        { domain: "", version: opset },
        { domain: "com.microsoft", version: 1 },
      ],
      graph: {
        name,
        node,
        input: this.#inputs,
        initializer: this.#initializers,
        output: outputs.map((o) =>
          valueInfo(
            o.name,
            o.type,
            o.rank === undefined ? undefined : Array.from({ length: o.rank }, (_, i) => `${o.name}_${i}`),
          ),
        ),
      },
    });
    return { model, nodes: node.length };
  }
}

const clampedFloat16 = (data: Float32Array): Uint16Array =>
  float32ToFloat16(data.map((x) => Math.min(Math.max(x, -65504), 65504)));

/** FNV-1a. */
function checksum(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}

function valueInfo(
  name: string,
  type: ElementType,
  dims: readonly (number | string)[] | undefined,
): ValueInfoProto {
  const dim = dims?.map((d) => (typeof d === "number" ? { dimValue: d } : { dimParam: d }));
  return { name, type: { tensorType: { elemType: elementType[type], ...(dim && { shape: { dim } }) } } };
}

function attribute(name: string, value: Attribute): AttributeProto {
  if (typeof value === "number") return { name, type: attributeType.int, i: value };
  if (typeof value === "string")
    return { name, type: attributeType.string, s: new TextEncoder().encode(value) };
  if ("float" in value) return { name, type: attributeType.float, f: value.float };
  return { name, type: attributeType.ints, ints: [...value] };
}
