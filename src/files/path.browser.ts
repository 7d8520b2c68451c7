/**
 * @file Paths of files in a browser: Node's functions of the POSIX kind, as far as they are used. A URL is a path too; of
 * the two slashes in it joining leaves one, and `file-system.browser.ts` reads it either way.
 */

export const sep = "/";

/** Without "." and "..", and with single slashes. */
export function normalize(path: string): string {
  const absolute = path.startsWith("/");
  const steps: string[] = [];
  for (const step of path.split("/")) {
    if (step === "" || step === ".") continue;
    const last = steps.at(-1);
    if (step !== "..") steps.push(step);
    else if (last !== undefined && last !== "..") steps.pop();
    else if (!absolute) steps.push(step);
  }
  const joined = steps.join("/");
  const end = path.endsWith("/") && !(absolute && joined === "") ? "/" : "";
  return `${absolute ? "/" : ""}${joined || (absolute ? "" : ".")}${end}`;
}

export const join = (...paths: string[]): string => normalize(paths.filter((one) => one !== "").join("/"));

/** As Node's, with "/" as the current folder, where a URL is absolute. */
export function resolve(...paths: string[]): string {
  const first = Math.max(
    0,
    paths.findLastIndex((one) => /^(https?:)?\//.test(one)),
  );
  const path = join(...paths.slice(first)).replace(/(?<=.)\/$/, "");
  return /^(https?:)?\//.test(path) ? path : join("/", path);
}

export function relative(from: string, to: string): string {
  const [a, b] = [from, to].map((path) =>
    resolve(path)
      .split("/")
      .filter((step) => step !== ""),
  ) as [string[], string[]];
  const differs = a.findIndex((step, i) => step !== b[i]);
  const shared = differs < 0 ? a.length : differs;
  return [...a.slice(shared).map(() => ".."), ...b.slice(shared)].join("/");
}

export function parse(path: string): { root: string; dir: string; base: string; ext: string; name: string } {
  const root = path.startsWith("/") ? "/" : "";
  const whole = path.replace(/(?<=.)\/+$/, "");
  const cut = whole.lastIndexOf("/");
  const base = whole.slice(cut + 1);
  const dot = base.lastIndexOf(".");
  const ext = dot > 0 && base !== ".." ? base.slice(dot) : "";
  return {
    root,
    dir: whole.slice(0, Math.max(0, cut)) || root,
    base,
    ext,
    name: base.slice(0, base.length - ext.length),
  };
}

export const dirname = (path: string): string => parse(path).dir || ".";
export const extname = (path: string): string => parse(path).ext;
export const basename = (path: string, suffix = ""): string => {
  const { base } = parse(path);
  return base !== suffix && base.endsWith(suffix) ? base.slice(0, base.length - suffix.length) : base;
};

const posix = { basename, dirname, extname, join, normalize, parse, relative, resolve, sep };
export default { ...posix, posix };
