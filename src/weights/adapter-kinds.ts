/**
 * @file The kinds of adapter: which tensors a layer has, the shape of the change that they make, and its numbers. LoRA (Hu et
 * al., arXiv 2106.09685) and its kin in LyCORIS (Yeh et al., arXiv 2309.14859), in LyCORIS' names and orientations.
 *
 * Independent of files and networks. o, i: a weight's rows and columns; k: what is behind them in a convolution; r: the rank.
 */

/** Tensors of a layer, by the kind that they belong to. */
const rolesOf = {
  lora: ["down", "up", "mid"],
  loha: ["hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"],
  lokr: ["lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"],
  full: ["diff"],
} as const;

/** "full" is the difference itself, as of norms. */
export type AdapterKind = keyof typeof rolesOf;
/** A tensor of one of them; its name is the one in the file. */
export type AdapterRole = (typeof rolesOf)[AdapterKind][number];

const kindByRole = new Map<string, AdapterKind>(
  Object.entries(rolesOf).flatMap(([kind, roles]) =>
    roles.map((role) => [role, kind as AdapterKind] as const),
  ),
);

/** The kind that a tensor belongs to; undefined for those that go with any kind. */
export const kindOf = (role: string): AdapterKind | undefined => kindByRole.get(role);

type Shape = readonly number[];
export type Shapes = { readonly [R in AdapterRole]?: Shape };
type AdapterValues = { readonly [R in AdapterRole]?: Float32Array };
/** [m, n] of a: [m, inner] and b: [inner, n] */
export type Product = (a: Float32Array, b: Float32Array, inner: number) => Promise<Float32Array>;

type Rules = {
  /** Of each group a layer must have one of the alternatives, whole. */
  needs: readonly (readonly (readonly AdapterRole[])[])[];
  /** By which alpha is divided; undefined where alpha does not count. */
  rank(shapes: Shapes): number | undefined;
  /** The shape of the change, [o, i] or [o, i, k, k]; undefined if the tensors do not fit each other. */
  shape(shapes: Shapes): Shape | undefined;
  /** The change, before its scale. */
  delta(values: AdapterValues, shapes: Shapes, product: Product): Promise<Float32Array>;
};

export const adapterKinds: Readonly<Record<AdapterKind, Rules>> = {
  lora: {
    needs: [[["down"]], [["up"]]],
    rank: ({ down }) => down?.[0],
    shape: ({ down, up, mid }) => productShape(up!, down!, mid),
    delta: ({ down, up, mid }, shapes, product) =>
      mid ? tucker(mid, up!, down!, shapes.mid!, product) : product(up!, down!, shapes.down![0]!),
  },
  loha: {
    needs: [[["hada_w1_a"]], [["hada_w1_b"]], [["hada_w2_a"]], [["hada_w2_b"]]],
    rank: ({ hada_w1_b }) => hada_w1_b?.[0],
    shape: (s) => {
      const [first, second] = halves(s).map(({ a, b, t }) =>
        t ? productShape(turned(a), b, t) : productShape(a, b),
      );
      return first && second && first.join() === second.join() ? first : undefined;
    },
    delta: async (v, s, product) => {
      const half = (
        a: Float32Array,
        b: Float32Array,
        { b: shape, a: [rows] }: Half,
        t?: Float32Array,
        ts?: Shape,
      ) => (t && ts ? tucker(t, transposed(a, rows!), b, ts, product) : product(a, b, shape[0]!));
      const [one, two] = halves(s) as [Half, Half];
      const first = await half(v.hada_w1_a!, v.hada_w1_b!, one, v.hada_t1, s.hada_t1);
      const second = await half(v.hada_w2_a!, v.hada_w2_b!, two, v.hada_t2, s.hada_t2);
      return first.map((x, i) => x * second[i]!);
    },
  },
  lokr: {
    needs: [
      [["lokr_w1"], ["lokr_w1_a", "lokr_w1_b"]],
      [["lokr_w2"], ["lokr_w2_a", "lokr_w2_b"]],
    ],
    rank: ({ lokr_w1_b, lokr_w2_b }) => (lokr_w2_b ?? lokr_w1_b)?.[0],
    shape: (s) => {
      const [first, second] = factors(s);
      if (first?.length !== 2 || !second || second.length < 2) return undefined;
      return [first[0]! * second[0]!, first[1]! * second[1]!, ...second.slice(2)];
    },
    delta: async (v, s, product) => {
      const first = v.lokr_w1 ?? (await product(v.lokr_w1_a!, v.lokr_w1_b!, s.lokr_w1_b![0]!));
      return kron(first, await secondFactor(v, s, product), ...(factors(s) as [Shape, Shape]));
    },
  },
  full: {
    needs: [[["diff"]]],
    rank: () => undefined,
    shape: ({ diff }) => diff,
    delta: async ({ diff }) => diff!,
  },
};

/** up: [o, r, 1...], down: [r, i, k...] -> [o, i, k...]; with mid: [r, r, k, k], down has no k of its own. */
function productShape(up: Shape, down: Shape, mid?: Shape): Shape | undefined {
  const [out, inner, ...rest] = up;
  const [rank, width, ...kernel] = down;
  if (out === undefined || inner !== rank || !rank || width === undefined) return undefined;
  if (rest.some((size) => size !== 1)) return undefined;
  if (!mid) return [out, width, ...kernel];
  const fits = mid.length >= 2 && mid[0] === inner && mid[1] === rank && kernel.every((size) => size === 1);
  return fits ? [out, width, ...mid.slice(2)] : undefined;
}

type Half = { a: Shape; b: Shape; t: Shape | undefined };

const halves = (s: Shapes): [Half, Half] => [
  { a: s.hada_w1_a!, b: s.hada_w1_b!, t: s.hada_t1 },
  { a: s.hada_w2_a!, b: s.hada_w2_b!, t: s.hada_t2 },
];

const turned = ([rows, columns, ...rest]: Shape): Shape => [columns!, rows!, ...rest];

/** The shapes of the Kronecker product's two factors. */
function factors(s: Shapes): [Shape | undefined, Shape | undefined] {
  const first = s.lokr_w1 ?? productShape(s.lokr_w1_a!, s.lokr_w1_b!);
  if (s.lokr_w2) return [first, s.lokr_w2];
  const [a, b] = [s.lokr_w2_a!, s.lokr_w2_b!];
  return [first, s.lokr_t2 ? productShape(turned(a), b, s.lokr_t2) : productShape(a, b)];
}

async function secondFactor(v: AdapterValues, s: Shapes, product: Product): Promise<Float32Array> {
  if (v.lokr_w2) return v.lokr_w2;
  const [a, b] = [v.lokr_w2_a!, v.lokr_w2_b!];
  if (!v.lokr_t2) return product(a, b, s.lokr_w2_b![0]!);
  return tucker(v.lokr_t2, transposed(a, s.lokr_w2_a![0]!), b, s.lokr_t2!, product);
}

/** mid: [m, n, k...], up: [o, m], down: [n, i] -> sum over m, n of mid * up * down: [o, i, k...] */
async function tucker(
  mid: Float32Array,
  up: Float32Array,
  down: Float32Array,
  [m, n, ...kernel]: Shape,
  product: Product,
): Promise<Float32Array> {
  const k = kernel.reduce((a, b) => a * b, 1);
  const [rows, columns] = [m!, n!];
  // [m, n, k] -> [m, k, n]
  const last = new Float32Array(mid.length);
  for (let a = 0; a < rows; a++)
    for (let b = 0; b < columns; b++)
      for (let c = 0; c < k; c++) last[(a * k + c) * columns + b] = mid[(a * columns + b) * k + c]!;
  const inner = await product(last, down, columns); // [m, k, i]
  const all = await product(up, inner, rows); // [o, k, i]
  const i = down.length / columns;
  const out = new Float32Array(all.length);
  for (let o = 0; o < up.length / rows; o++)
    for (let c = 0; c < k; c++)
      for (let x = 0; x < i; x++) out[(o * i + x) * k + c] = all[(o * k + c) * i + x]!;
  return out;
}

/** [rows, n] -> [n, rows] */
function transposed(x: Float32Array, rows: number): Float32Array {
  const n = x.length / rows;
  return Float32Array.from({ length: x.length }, (_, at) => x[(at % rows) * n + Math.floor(at / rows)]!);
}

/** a: [p, q], b: [c, d, k...] -> [p * c, q * d, k...] */
function kron(a: Float32Array, b: Float32Array, [p, q]: Shape, [c, d, ...kernel]: Shape): Float32Array {
  const k = kernel.reduce((x, y) => x * y, 1);
  const [rows, columns, width] = [p! * c!, q! * d!, d! * k];
  const out = new Float32Array(rows * columns * k);
  for (let row = 0; row < rows; row++) {
    const [i, y] = [Math.floor(row / c!), row % c!];
    for (let j = 0; j < q!; j++) {
      const factor = a[i * q! + j]!;
      const to = row * columns * k + j * width;
      for (let x = 0; x < width; x++) out[to + x] = factor * b[y * width + x]!;
    }
  }
  return out;
}
