/** @file Matrices in float64, and the eigenvalues of symmetric ones. */

/** Row by row. */
export type Matrix = { rows: number; columns: number; data: Float64Array };

export function matrix(rows: number, columns: number, at: (row: number, column: number) => number): Matrix {
  const data = new Float64Array(rows * columns);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) data[r * columns + c] = at(r, c);
  return { rows, columns, data };
}

export const transposed = ({ rows, columns, data }: Matrix): Matrix =>
  matrix(columns, rows, (r, c) => data[c * columns + r]!);

/** a b */
export function product(a: Matrix, b: Matrix): Matrix {
  const data = new Float64Array(a.rows * b.columns);
  for (let r = 0; r < a.rows; r++) {
    const row = data.subarray(r * b.columns, (r + 1) * b.columns);
    for (let k = 0; k < a.columns; k++) {
      const factor = a.data[r * a.columns + k]!;
      if (factor === 0) continue;
      const from = k * b.columns;
      for (let c = 0; c < row.length; c++) row[c]! += factor * b.data[from + c]!;
    }
  }
  return { rows: a.rows, columns: b.columns, data };
}

/**
 * The eigenvalues of a symmetric matrix, in no order: tridiagonal by Householder's reflections, then by the QL method with
 * implicit shifts (Wilkinson and Reinsch 1971, II/2 and II/3).
 */
export function eigenvalues(symmetric: Matrix): Float64Array {
  const { diagonal, beside } = tridiagonal(symmetric);
  const n = diagonal.length;
  for (let l = 0; l < n; l++)
    for (let m = blockEnd(diagonal, beside, l); m > l; m = blockEnd(diagonal, beside, l))
      shiftedSweep(diagonal, beside, l, m);
  return diagonal;
}

/** The diagonal, and behind each of its elements but the last the one beside it. */
function tridiagonal({ rows: n, data }: Matrix): { diagonal: Float64Array; beside: Float64Array } {
  const a = Float64Array.from(data);
  const beside = new Float64Array(n);
  const [v, p] = [new Float64Array(n), new Float64Array(n)];
  for (let k = 0; k < n - 1; k++) {
    let norm = 0;
    for (let i = k + 1; i < n; i++) norm = Math.hypot(norm, (v[i] = a[i * n + k]!));
    const alpha = v[k + 1]! > 0 ? -norm : norm;
    beside[k] = alpha;
    const beta = norm * (norm + Math.abs(v[k + 1]!));
    if (beta === 0) continue;
    v[k + 1]! -= alpha;
    // A - v wᵀ - w vᵀ is the reflection on both sides.
    let vp = 0;
    for (let i = k + 1; i < n; i++) {
      let sum = 0;
      for (let j = k + 1; j < n; j++) sum += a[i * n + j]! * v[j]!;
      p[i] = sum / beta;
      vp += v[i]! * p[i]!;
    }
    for (let i = k + 1; i < n; i++) p[i]! -= (vp / (2 * beta)) * v[i]!;
    for (let i = k + 1; i < n; i++)
      for (let j = k + 1; j < n; j++) a[i * n + j]! -= v[i]! * p[j]! + p[i]! * v[j]!;
  }
  return { diagonal: Float64Array.from({ length: n }, (_, i) => a[i * n + i]!), beside };
}

/** The end of the block that begins at `l`: where the next element beside the diagonal is as good as zero. */
function blockEnd(d: Float64Array, e: Float64Array, l: number): number {
  let m = l;
  while (m < d.length - 1 && Math.abs(e[m]!) > Number.EPSILON * (Math.abs(d[m]!) + Math.abs(d[m + 1]!))) m++;
  return m;
}

/** One sweep of QL over the block from `l` to `m`. */
function shiftedSweep(d: Float64Array, e: Float64Array, l: number, m: number): void {
  const slope = (d[l + 1]! - d[l]!) / (2 * e[l]!);
  const root = Math.hypot(slope, 1);
  let g = d[m]! - d[l]! + e[l]! / (slope + (slope < 0 ? -root : root));
  let [s, c, p] = [1, 1, 0];
  for (let i = m - 1; i >= l; i--) {
    const [f, b] = [s * e[i]!, c * e[i]!];
    const r = Math.hypot(f, g);
    e[i + 1] = r;
    if (r === 0) {
      // The block falls in two.
      d[i + 1]! -= p;
      e[m] = 0;
      return;
    }
    [s, c] = [f / r, g / r];
    g = d[i + 1]! - p;
    const t = (d[i]! - g) * s + 2 * c * b;
    p = s * t;
    d[i + 1] = g + p;
    g = c * t - b;
  }
  d[l]! -= p;
  e[l] = g;
  e[m] = 0;
}
