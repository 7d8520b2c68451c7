/** @file The part of a file that a request's header `Range` names (RFC 9110, section 14). */

/** An answer of status 206, or 416 where the file has no such bytes. Of several ranges none is given: the whole file is. */
export function partOf(file: Blob, range: string): Response {
  const [, from, to] = /^bytes=(\d*)-(\d*)$/.exec(range) ?? [];
  if (from === undefined || to === undefined || (from === "" && to === "")) return new Response(file);
  const start = from === "" ? Math.max(0, file.size - Number(to)) : Number(from);
  const end = from === "" || to === "" ? file.size : Math.min(Number(to) + 1, file.size);
  if (start >= end)
    return new Response(null, { status: 416, headers: { "content-range": `bytes */${file.size}` } });
  const headers = {
    "content-range": `bytes ${start}-${end - 1}/${file.size}`,
    "content-length": String(end - start),
  };
  return new Response(file.slice(start, end, file.type), { status: 206, headers });
}
