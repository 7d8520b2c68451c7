/** @file Axes of charts: ranges, ticks, and numbers as short text. */

/** From `low` at 0 to `high` at 1; on a log axis both are positive. */
export type Scale = { kind: "linear" | "log"; low: number; high: number };
/** `auto` takes a log axis for what spans more than a factor of 10. */
export const scaleChoices = ["auto", "linear", "log"] as const;
export type ScaleChoice = (typeof scaleChoices)[number];

/** Values that span more than this factor are drawn on a log axis. */
const logRatio = 10;

/** The axis that series share (values not finite are ignored): log only where all are positive. */
export function scaleFor(
  series: readonly (readonly number[])[],
  choice: ScaleChoice,
  { fromZero = false } = {},
): Scale {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const values of series) {
    for (const value of values) {
      if (!Number.isFinite(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return { kind: "linear", low: 0, high: 1 };
  const positive = low > 0;
  if (positive && (choice === "log" || (choice === "auto" && high / low > logRatio))) {
    const room = Math.max(1.05, (high / low) ** 0.05);
    return { kind: "log", low: low / room, high: high * room };
  }
  if (fromZero && positive) return { kind: "linear", low: 0, high: high * 1.1 };
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return { kind: "linear", low: positive ? Math.max(0, low - room) : low - room, high: high + room };
}

/** The position of a value from 0 to 1; NaN for a value that the axis cannot show. */
export function position({ kind, low, high }: Scale, value: number): number {
  if (kind === "linear") return (value - low) / (high - low);
  return value > 0 ? Math.log(value / low) / Math.log(high / low) : Number.NaN;
}

/** About `count` round values on the axis. */
export function ticks(scale: Scale, count: number): number[] {
  if (scale.kind === "linear") return linearTicks(scale.low, scale.high, count);
  for (const marks of [[1], [1, 3], [1, 2, 5]]) {
    const found = decades(scale, marks);
    if (found.length >= 3) return everyNth(found, Math.ceil(found.length / (Math.round(count) + 2)));
  }
  return linearTicks(scale.low, scale.high, count);
}

function linearTicks(low: number, high: number, count: number): number[] {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const interval = power * ([1, 2, 5].find((m) => m * power >= rough * 0.999) ?? 10);
  const first = Math.ceil(low / interval - 1e-9);
  const last = Math.floor(high / interval + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * interval);
}

function decades({ low, high }: Scale, marks: readonly number[]): number[] {
  const found: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const mark of marks) {
      const value = mark * 10 ** power;
      if (value >= low && value <= high) found.push(value);
    }
  }
  return found;
}

const everyNth = (values: number[], n: number) => values.filter((_, i) => i % n === 0);

/** 12500 -> "12.5k", 0.00002 -> "2e-5", 0.125 -> "0.125": as short as `digits` significant digits allow. */
export function short(value: number, digits = 3): string {
  if (!Number.isFinite(value)) return "not finite";
  const size = Math.abs(value);
  const plain = (v: number) => String(Number(v.toPrecision(digits)));
  if (size === 0) return "0";
  if (size < 1e-3) return value.toExponential(digits - 1).replace(/\.?0*e/, "e");
  if (size < 1e4) return plain(value);
  if (size < 1e6) return `${plain(value / 1e3)}k`;
  return size < 1e9 ? `${plain(value / 1e6)}M` : value.toExponential(digits - 1).replace(/\.?0*e\+/, "e");
}
