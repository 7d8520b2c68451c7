/** @file Requests for every route of an OpenAPI document, each wrong in some way that a seed decides. */

export type Rng = () => number;

/** mulberry32: a small generator whose every seed gives another sequence. */
export function rng(seed: number): Rng {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Schema = {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  format?: string;
  minimum?: number;
  maximum?: number;
  example?: unknown;
  examples?: unknown[];
};
type Operation = {
  parameters?: { name: string; in: string }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
};
export type Document = {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
};

/** Values by field that get a request past the first doors. */
export type Hints = Readonly<Record<string, unknown>>;

const pick = <T>(list: readonly T[], random: Rng): T => list[Math.floor(random() * list.length)]!;

/** Values that break something somewhere. */
const nasty: readonly unknown[] = [
  ...[null, true, false, 0, -1, 1.5, 1e308, -1e308, 2 ** 53, 2 ** 31, 99_999_999, -0, 1e-320],
  ...[
    "",
    " ",
    "\0",
    "\u202e\ud800",
    "💥".repeat(100),
    "a".repeat(30_000),
    "-1",
    "NaN",
    "1e999",
    "0x10",
    "١٢",
  ],
  ...[
    "../../etc/passwd",
    "/etc/passwd",
    "file:///etc/passwd",
    "http://127.0.0.1:1/",
    "C:\\con",
    "%00%2e%2e%2f",
  ],
  ...["<script>alert(1)</script>", "' OR 1=1 --", "{{7*7}}", "\r\nx-evil: 1", "__proto__", "constructor"],
  ...["data:image/png;base64,", "data:image/png;base64,AAAA", "iVBORw0KGgo=", "/9j/", "UklGRgAAAABXRUJQ"],
  ...[
    [],
    {},
    [[]],
    [null],
    { a: { b: { c: [] } } },
    [1, "x", {}],
    new Array(2000).fill(0),
    { __proto__x: 1 },
  ],
];

/** A value that a schema allows. */
function valid(schema: Schema, document: Document, random: Rng): unknown {
  if (schema.$ref)
    return valid(document.components.schemas[schema.$ref.split("/").at(-1)!]!, document, random);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return pick(schema.enum, random);
  if (schema.anyOf) return valid(pick(schema.anyOf, random), document, random);
  const type = Array.isArray(schema.type) ? pick(schema.type, random) : schema.type;
  const { minimum = 0, maximum = 100 } = schema;
  switch (type) {
    case "object":
      return validObject(schema, document, random);
    case "array":
      return [valid(schema.items ?? {}, document, random)];
    case "integer":
      return Math.floor(minimum + random() * Math.min(maximum - minimum, 70));
    case "number":
      return minimum + random() * (maximum - minimum);
    case "boolean":
      return random() < 0.5;
    case "null":
      return null;
    default:
      return schema.example ?? "a red bicycle";
  }
}

function validObject({ properties = {}, required = [] }: Schema, document: Document, random: Rng) {
  const chosen = Object.entries(properties).filter(([name]) => required.includes(name) || random() < 0.25);
  return Object.fromEntries(chosen.map(([name, schema]) => [name, valid(schema, document, random)]));
}

function hinted(body: unknown, hints: Hints, names: readonly string[], random: Rng): unknown {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return body;
  const known = Object.entries(hints).filter(
    ([name]) => name in body || (names.includes(name) && random() < 0.5),
  );
  return { ...body, ...Object.fromEntries(known) };
}

/** An object with one to three of its values, or its shape, made wrong. */
function spoiled(body: unknown, names: readonly string[], random: Rng): unknown {
  if (typeof body !== "object" || body === null || random() < 0.05) return pick(nasty, random);
  const fields = new Map(Object.entries(body));
  for (let i = 0; i <= random() * 3; i++) {
    const name = pick([...names, ...fields.keys(), "extra", "constructor", "prompt "], random);
    if (random() < 0.15) fields.delete(name);
    else fields.set(name, pick(nasty, random));
  }
  return Object.fromEntries(fields);
}

/** One request for a route that the document has. */
export function malformed(document: Document, hints: Hints, random: Rng) {
  const routes = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({ path, method, operation })),
  );
  // Bodies are where there is most to get wrong.
  const weighted = routes.flatMap(
    (route) => new Array(route.operation.requestBody ? 8 : 1).fill(route) as typeof routes,
  );
  const { path, method, operation } = pick(weighted, random);
  const inPath = path.replace(/\{\w+\}/g, () =>
    encodeURIComponent(textOf(pick(nasty, random)).slice(0, 300)),
  );
  const query = [
    ...(operation.parameters ?? [])
      .filter((parameter) => parameter.in === "query" && random() < 0.8)
      .map(({ name }) => `${name}=${encodeURIComponent(textOf(pick(nasty, random)).slice(0, 300))}`),
    ...(random() < 0.3 ? [`${encodeURIComponent(textOf(pick(nasty, random)).slice(0, 300))}=1&a[]=%`] : []),
  ].join("&");
  const init: RequestInit = {
    method: random() < 0.05 ? pick(["PUT", "PATCH", "POST"], random) : method.toUpperCase(),
  };
  const content = Object.entries(operation.requestBody?.content ?? {})[0];
  if (content && init.method !== "GET") Object.assign(init, sent(content, document, hints, random));
  const url = `http://localhost${inPath.replaceAll("%00", "%2500")}${query && `?${query}`}`;
  return { url, init, what: `${init.method} ${path} ${String(init.body).slice(0, 300)}` };
}

function sent(
  [type, { schema }]: [string, { schema: Schema }],
  document: Document,
  hints: Hints,
  random: Rng,
): RequestInit {
  const whole = schema.$ref ? document.components.schemas[schema.$ref.split("/").at(-1)!]! : schema;
  const names = Object.keys(whole.properties ?? {});
  const right = hinted(valid(whole, document, random), hints, names, random);
  const body = spoiled(right, names, random);
  const kind = random();
  if (type === "multipart/form-data" && kind < 0.85) return form(body, random);
  const text = kind < 0.06 ? (JSON.stringify(body) ?? "").slice(0, -1) : JSON.stringify(body);
  const types = [
    "application/json",
    "text/plain",
    "application/json; charset=latin1",
    "multipart/form-data",
    "x",
  ];
  const header = random() < 0.9 ? "application/json" : pick(types, random);
  return { body: text, headers: { "content-type": header } };
}

function form(body: unknown, random: Rng): RequestInit {
  if (random() < 0.1) {
    const broken = '--x\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\nPNG';
    return {
      body: broken,
      headers: { "content-type": `multipart/form-data; boundary=${pick(["x", "y", ""], random)}` },
    };
  }
  const data = new FormData();
  for (const [name, value] of Object.entries((body as object | null) ?? {})) {
    const bytes = pick([Buffer.from(textOf(value), "base64"), "\x89PNG\r\n\x1a\n", "GIF89a"], random);
    if (/image|mask/.test(name) && random() < 0.7)
      data.append(name, new Blob([bytes]), textOf(value).slice(0, 50) || "x");
    else data.append(name, textOf(value));
  }
  return { body: data };
}

/** Through UTF-8, since a lone surrogate can be in no address and no form. */
const textOf = (value: unknown): string =>
  Buffer.from(typeof value === "string" ? value : (JSON.stringify(value) ?? "")).toString();
