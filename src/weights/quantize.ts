/**
 * @file Quantises matrices to eight bits a number, symmetric, in the layouts of two operators of ONNX Runtime: blocks of a
 * row with a factor each, codes around 128 (MatMulNBits), or a factor a row, transposed (DynamicQuantizeMatMul).
 */

/** The code of zero. */
const middle = 128;
/** Codes reach from 1 to 255. */
const most = 127;

/** Larger blocks are faster and take less, smaller ones fit odd widths. */
const blocks = [128, 64, 32, 16];

/** The block of rows of `width` numbers; undefined where none divides it. */
export const blockOf = (width: number): number | undefined => blocks.find((block) => width % block === 0);

/** The name of the factors that belong to a weight. */
export const scalesName = (weight: string): string => `${weight}.scales`;

/** w: [N, K] in blocks of `block` numbers -> codes: [N, K / block, block], scales: [N, K / block] */
export function quantizeBlocks(
  w: Float32Array,
  block: number,
): { codes: Uint8Array<ArrayBuffer>; scales: Float32Array<ArrayBuffer> } {
  const codes = new Uint8Array(w.length);
  const scales = new Float32Array(w.length / block);
  for (let b = 0; b < scales.length; b++) {
    const start = b * block;
    let largest = 0;
    for (let i = start; i < start + block; i++) largest = Math.max(largest, Math.abs(w[i]!));
    const scale = Math.fround(largest / most);
    scales[b] = scale;
    const perCode = scale === 0 ? 0 : 1 / scale;
    // The smallest float32 has no reciprocal; codes stay in their range all the same.
    for (let i = start; i < start + block; i++)
      codes[i] = middle + Math.max(-most, Math.min(most, Math.round(w[i]! * perCode)));
  }
  return { codes, scales };
}

/** The numbers that codes stand for. */
export function dequantizeBlocks(codes: Uint8Array, scales: Float32Array): Float32Array {
  const block = codes.length / scales.length;
  return Float32Array.from(codes, (code, i) => (code - middle) * scales[Math.floor(i / block)]!);
}

/** As `quantizeRows` of a kernel whose channels come last. w: [O, C, kh, kw] -> codes: [kh kw C, O], scales: [O] */
export function quantizeKernel(
  w: Float32Array,
  [O, C, kh, kw]: readonly [number, number, number, number],
  bits: 7 | 8,
): { codes: Int8Array<ArrayBuffer>; scales: Float32Array<ArrayBuffer> } {
  const places = kh * kw;
  const rows = new Float32Array(w.length);
  for (let o = 0; o < O; o++)
    for (let c = 0; c < C; c++)
      for (let at = 0; at < places; at++) rows[(o * places + at) * C + c] = w[(o * C + c) * places + at]!;
  return quantizeRows(rows, O, bits);
}

/**
 * w: [N, K] -> codes: [K, N], scales: [N]. Of `bits` 7, codes reach to 63: products of pairs with unsigned bytes of eight
 * bits then fit into 16, to which processors without VNNI saturate them.
 */
export function quantizeRows(
  w: Float32Array,
  N: number,
  bits: 7 | 8,
): { codes: Int8Array<ArrayBuffer>; scales: Float32Array<ArrayBuffer> } {
  const K = w.length / N;
  const most = 2 ** (bits - 1) - 1;
  const codes = new Int8Array(w.length);
  const scales = new Float32Array(N);
  for (let n = 0; n < N; n++) {
    let largest = 0;
    for (let i = n * K; i < (n + 1) * K; i++) largest = Math.max(largest, Math.abs(w[i]!));
    const scale = Math.fround(largest / most);
    scales[n] = scale;
    const perCode = scale === 0 ? 0 : 1 / scale;
    for (let k = 0; k < K; k++)
      codes[k * N + n] = Math.max(-most, Math.min(most, Math.round(w[n * K + k]! * perCode)));
  }
  return { codes, scales };
}
