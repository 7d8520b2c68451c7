/** @file Solves small systems of linear equations. */

/** x with `matrix` x = `right`: Gaussian elimination with the largest pivot, in float64. */
export function solve(matrix: readonly (readonly number[])[], right: readonly number[]): number[] {
  const rows = matrix.map((row, i) => [...row, right[i]!]);
  const n = rows.length;
  for (let column = 0; column < n; column++) {
    const pivot = rows.slice(column).reduce((best, row) => (largerAt(column, row, best) ? row : best));
    const index = rows.indexOf(pivot);
    [rows[column], rows[index]] = [pivot, rows[column]!];
    for (const row of rows.slice(column + 1)) {
      const factor = row[column]! / pivot[column]!;
      for (let k = column; k <= n; k++) row[k]! -= factor * pivot[k]!;
    }
  }
  const x = new Array<number>(n).fill(0);
  for (let i = n - 1; i >= 0; i--) {
    const known = x.reduce((sum, value, k) => (k > i ? sum + value * rows[i]![k]! : sum), 0);
    x[i] = (rows[i]![n]! - known) / rows[i]![i]!;
  }
  return x;
}

function largerAt(column: number, a: readonly number[], b: readonly number[]): boolean {
  return Math.abs(a[column]!) > Math.abs(b[column]!);
}
