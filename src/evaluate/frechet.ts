/**
 * @file The Fréchet distance between two sets of features, each taken as a Gaussian (Dowson and Landau 1982), as Heusel et
 * al. 2017 compare generated images with others. Of CLIP's features it is not the FID, whose features are Inception's.
 */

import { eigenvalues, type Matrix, matrix, product, transposed } from "./matrix.js";

/** The mean and the covariance, with n - 1, of rows of one length. */
export function gaussianOf(rows: readonly ArrayLike<number>[]): { mean: Float64Array; covariance: Matrix } {
  const D = rows[0]!.length;
  const mean = new Float64Array(D);
  for (const row of rows) for (let i = 0; i < D; i++) mean[i]! += row[i]! / rows.length;
  const centered = matrix(rows.length, D, (r, c) => rows[r]![c]! - mean[c]!);
  const covariance = product(transposed(centered), centered);
  for (let i = 0; i < covariance.data.length; i++) covariance.data[i]! /= rows.length - 1;
  return { mean, covariance };
}

/** Whether a set has enough rows for its covariance to have full rank, without which the distance says little. */
export const enoughRows = (rows: readonly ArrayLike<number>[]): boolean => rows.length > rows[0]!.length;

/** ‖m₁ - m₂‖² + tr(C₁ + C₂ - 2 (C₁ C₂)^½), of rows of one length. */
export function frechetDistance(a: readonly ArrayLike<number>[], b: readonly ArrayLike<number>[]): number {
  const [one, other] = [gaussianOf(a), gaussianOf(b)];
  let distance = -2 * traceOfRoot(one.covariance, other.covariance);
  for (let i = 0; i < one.mean.length; i++) {
    distance += (one.mean[i]! - other.mean[i]!) ** 2;
    distance +=
      one.covariance.data[i * one.mean.length + i]! + other.covariance.data[i * one.mean.length + i]!;
  }
  return Math.max(0, distance);
}

/**
 * tr((C₁ C₂)^½) of two positive semidefinite matrices. With C = L Lᵀ the eigenvalues of C₁ C₂ are those of M Mᵀ, M = L₁ᵀ L₂,
 * and the trace is the sum of their roots: no complex numbers come up, as they do in the root of C₁ C₂.
 */
export function traceOfRoot(a: Matrix, b: Matrix): number {
  const m = product(transposed(cholesky(a)), cholesky(b));
  const values = eigenvalues(product(m, transposed(m)));
  return values.reduce((sum, value) => sum + Math.sqrt(Math.max(0, value)), 0);
}

/** L with L Lᵀ = C; a direction without variance gets a column of zeros. */
function cholesky({ rows: n, data }: Matrix): Matrix {
  const lower = matrix(n, n, () => 0);
  const L = lower.data;
  for (let j = 0; j < n; j++) {
    let pivot = data[j * n + j]!;
    for (let k = 0; k < j; k++) pivot -= L[j * n + k]! ** 2;
    // What rounding leaves of a zero.
    if (pivot <= n * Number.EPSILON * data[j * n + j]!) continue;
    const root = Math.sqrt(pivot);
    L[j * n + j] = root;
    for (let i = j + 1; i < n; i++) {
      let sum = data[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= L[i * n + k]! * L[j * n + k]!;
      L[i * n + j] = sum / root;
    }
  }
  return lower;
}
