/** @file Measured numbers as text. */

/** To four significant digits. JSON has no NaN: a number that is not finite arrives as null. */
export function numberText(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return "not finite";
  return value !== 0 && Math.abs(value) < 1e-3
    ? value.toExponential(3)
    : String(Number(value.toPrecision(4)));
}
