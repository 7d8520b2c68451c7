/** @file What a device can do. Lowering asks here before it chooses between two ways to write an operation. */

/** Operators outside the ONNX standard that a device computes, compared with the standard ones before trusted. */
export type Device = {
  readonly name: "cpu";
  /** `com.microsoft.MultiHeadAttention`: attention without its matrix of scores. */
  readonly fusedAttention: boolean;
  /** `com.microsoft.FusedMatMul`: products of transposed matrices without a copy. */
  readonly fusedMatmul: boolean;
  /** `com.microsoft.QuickGelu`: x sigmoid(alpha x) in one pass. */
  readonly fusedSilu: boolean;
  /** Whether images keep their channels last, with convolutions as products over the batch: `channels-last.ts`. */
  readonly channelsLast: boolean;
};

/** ONNX Runtime's CPU provider. */
export const cpu: Device = {
  name: "cpu",
  fusedAttention: true,
  fusedMatmul: true,
  fusedSilu: true,
  channelsLast: false,
};

/** Only what the ONNX standard defines: what any provider has, and what the fused operators are compared with. */
export const standard: Device = {
  name: "cpu",
  fusedAttention: false,
  fusedMatmul: false,
  fusedSilu: false,
  channelsLast: false,
};
