/** @file The part of a file that a request's header `Range` names (RFC 9110, section 14). Browser-safe. */

/** The bytes from `start` to before `end`. */
export type ByteRange = { start: number; end: number };

/** Undefined where the whole file is given, as for several ranges; an empty range where the file has no such bytes. */
export function byteRange(header: string | null | undefined, size: number): ByteRange | undefined {
  const [, from, to] = /^bytes=(\d*)-(\d*)$/.exec(header ?? "") ?? [];
  if (from === undefined || to === undefined || (from === "" && to === "")) return undefined;
  const start = from === "" ? Math.max(0, size - Number(to)) : Number(from);
  const end = from === "" || to === "" ? size : Math.min(Number(to) + 1, size);
  return start < end ? { start, end } : { start: 0, end: 0 };
}

/** The status and the headers of an answer that gives this range of so many bytes; 416 for an empty one. */
export function rangeAnswer({ start, end }: ByteRange, size: number) {
  if (start === end) return { status: 416, headers: { "content-range": `bytes */${size}` } } as const;
  const headers = {
    "content-range": `bytes ${start}-${end - 1}/${size}`,
    "content-length": String(end - start),
  };
  return { status: 206, headers } as const;
}
