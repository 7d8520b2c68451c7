/** @file Devices and what they support: what lowering chooses by where an operation can be written in two ways. */

/** The operators outside the ONNX standard that a device supports, each compared with the standard ones by tests. */
export type Device = {
  readonly name: "cpu";
  /** `com.microsoft.MultiHeadAttention`: attention without its matrix of scores. */
  readonly fusedAttention: boolean;
  /** `com.microsoft.FusedMatMul`: products of transposed matrices without a copy. */
  readonly fusedMatmul: boolean;
  /** `com.microsoft.QuickGelu`: x sigmoid(alpha x) in one pass. */
  readonly fusedSilu: boolean;
  /** Whether programs are rewritten for training, with channels last: `rewrite/channels-last.ts`. */
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

/** The ONNX standard alone, which any execution provider supports: what the fused operators are compared with. */
export const standard: Device = {
  name: "cpu",
  fusedAttention: false,
  fusedMatmul: false,
  fusedSilu: false,
  channelsLast: false,
};
