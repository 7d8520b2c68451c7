/** @file Bodies of requests: their limits, alone and together, and the end of refused ones. */

import { Hono } from "hono";
import { describe, expect, it } from "vitest";
import { bodiesAtOnce, plainBodyBytes } from "../../src/jobs/limits.js";
import { imagePaths } from "../../src/server/app.js";
import { Bodies, type BodyTimes } from "../../src/server/body.js";
import { problemOf } from "../../src/server/problem.js";
import { stage } from "../serving.js";

const most = 2 ** 20;

/** An app whose handlers answer what the parsers gave them; `/image` takes images. */
function appWith(times: BodyTimes = {}, waits: Promise<unknown> = Promise.resolve()) {
  const bodies = new Bodies({ bodyBytes: most }, (path) => path === "/image", times);
  const app = new Hono();
  app.use(bodies.middleware);
  app.post("/waits", async (c) => {
    bodies.forget(c);
    await waits;
    return c.text("waited");
  });
  app.post("/form", async (c) => c.text(String([...(await c.req.formData())].length)));
  app.post("*", async (c) => c.json(await c.req.json()));
  app.onError((error, c) => {
    const { status, message, retryAfter } = problemOf(error);
    return c.text(message, status, { ...(retryAfter && { "retry-after": String(retryAfter) }) });
  });
  return app;
}

type Sent = { headers?: Record<string, string>; length?: number };

const send = (app: Hono, path: string, body: string | ReadableStream, { headers = {}, length }: Sent = {}) =>
  app.request(path, {
    method: "POST",
    body,
    headers: {
      "content-type": "application/json",
      ...(length !== undefined && { "content-length": String(length) }),
      ...headers,
    },
    ...(body instanceof ReadableStream && { duplex: "half" }),
  });

/** A body of so many bytes of JSON, of which the last comes at `finish`; counts what was fetched of it. */
function held(bytes: number, count: (bytes: number) => void = () => {}) {
  let finish = () => {};
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const text = JSON.stringify("a".repeat(bytes - 2));
  let at = 0;
  const body = new ReadableStream<Uint8Array>({
    pull: async (to) => {
      if (at === bytes - 1) await finished;
      const part = Buffer.from(text.slice(at, at === bytes - 1 ? bytes : Math.min(at + 65_536, bytes - 1)));
      count(part.length);
      at += part.length;
      to.enqueue(new Uint8Array(part));
      if (at === bytes) to.close();
    },
  });
  return { body, finish };
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 50));

describe("a body", () => {
  it("is given to the parsers as it was sent, with a byte order mark or without", async () => {
    const app = appWith();
    for (const text of ['{"prompt":"漢字 \\" é"}', '\ufeff{"prompt":"漢字 \\" é"}'])
      expect(await (await send(app, "/plain", text)).json()).toEqual({ prompt: '漢字 " é' });
    const form = new FormData();
    form.append("image", new Blob([new Uint8Array(1000)]), "x");
    form.append("prompt", "x");
    const answer = await app.request("/form", { method: "POST", body: form });
    expect(await answer.text()).toBe("2");
  });

  it("keeps all digits of a seed that is written as a number", async () => {
    const seeds =
      '{"seed": 12345678901234567890, "prompt": "\\"seed\\": 12345678901234567890, ", "x": [{"seed":7}]}';
    expect(await (await send(appWith(), "/plain", seeds)).json()).toEqual({
      seed: "12345678901234567890",
      prompt: '"seed": 12345678901234567890, ',
      x: [{ seed: 7 }],
    });
  });

  it("is refused where its text is not UTF-8, as JSON and as a field of a form", async () => {
    const app = appWith();
    const post = (path: string, type: string, body: Buffer) =>
      app.request(path, { method: "POST", body: new Uint8Array(body), headers: { "content-type": type } });
    const json = '{"prompt":"café"}';
    const form = (disposition: string) =>
      `--b\r\ncontent-disposition: form-data; name="x"${disposition}\r\n\r\ncafé\r\n--b--\r\n`;
    const formType = "multipart/form-data; boundary=b";
    for (const [path, type, text] of [
      ["/plain", "application/json", json],
      ["/plain", "application/json; charset=utf-8", json],
      ["/form", formType, form("")],
    ] as const) {
      expect((await post(path, type, Buffer.from(text, "utf8"))).status).toBe(200);
      const refused = await post(path, type, Buffer.from(text, "latin1"));
      expect(refused.status).toBe(400);
      expect(await refused.text()).toMatch(/^body: must be text in UTF-8, got another encoding\./);
    }
    expect((await post("/form", formType, Buffer.from(form('; filename="x.png"'), "latin1"))).status).toBe(
      200,
    );
    const named = await post("/plain", "application/json; charset=latin1", Buffer.from(json));
    expect([named.status, await named.text()]).toEqual([
      415,
      "content-type: must have the charset utf-8, got latin1. Send the text in UTF-8.",
    ]);
  });

  it("may be as large as its route needs, whether it says its length or not", async () => {
    const app = appWith();
    for (const [path, limit] of [
      ["/plain", plainBodyBytes],
      ["/image", most],
    ] as const)
      for (const length of [true, false])
        for (const [bytes, status] of [
          [limit, 200],
          [limit + 1, 413],
        ] as const) {
          const { body, finish } = held(bytes);
          finish();
          expect((await send(app, path, body, length ? { length: bytes } : {})).status).toBe(status);
        }
  });

  it("is let in and dropped where it is refused, so that its sender comes to read why", async () => {
    const app = appWith();
    let fetched = 0;
    const { body, finish } = held(2 * most, (bytes) => (fetched += bytes));
    finish();
    const answer = await send(app, "/image", body, { length: 2 * most });
    expect([answer.status, fetched]).toEqual([413, 2 * most]);
    expect(await answer.text()).toBe(
      `body: must be at most ${most} bytes on this server, got more. Send less.`,
    );
  });

  it("is refused in a coding, in a form that holds no files, of too many parts, or broken off", async () => {
    const app = appWith();
    const gzip = await send(app, "/plain", "{}", { headers: { "content-encoding": "gzip" } });
    expect([gzip.status, await gzip.text()]).toEqual([
      415,
      'content-encoding: must be none, got "gzip". Send it as it is.',
    ]);
    const encoded = { "content-type": "application/x-www-form-urlencoded" };
    expect((await send(app, "/form", "a=1&".repeat(50_000), { headers: encoded })).status).toBe(415);
    for (const [parts, status] of [
      [100, 200],
      [101, 400],
    ] as const) {
      const form = new FormData();
      for (let i = 0; i < parts; i++) form.append(`f${i}`, "--x");
      expect((await app.request("/form", { method: "POST", body: form })).status).toBe(status);
    }
    const broken = new ReadableStream({ pull: (to) => to.error(new Error("ECONNRESET")) });
    const answer = await send(app, "/plain", broken);
    expect([answer.status, await answer.text()]).toEqual([
      400,
      "body: must arrive whole, got less than was announced. Send it again.",
    ]);
  });

  it("that nests or holds too much is refused before it is parsed", async () => {
    const app = appWith();
    const deep = `{"zz":${"[".repeat(5000)}${"]".repeat(5000)}}`;
    const answer = await send(app, "/plain", deep);
    expect([answer.status, await answer.text()]).toEqual([
      400,
      "body: must nest at most 64 deep, got more. Send less.",
    ]);
  });

  it("that stops coming is given up", async () => {
    const app = appWith({ stalledSeconds: 0.05 });
    const { body } = held(1000);
    const answer = await send(app, "/plain", body, { length: 1000 });
    expect([answer.status, await answer.text()]).toEqual([
      408,
      "body: must keep coming, got nothing for 0.05 s. Send it again.",
    ]);
  });
});

describe("bodies under way", () => {
  it("hold no more together than a few of the largest; others wait, then come again", async () => {
    const app = appWith({ patienceSeconds: 0.2 });
    let fetched = 0;
    const all = Array.from({ length: 40 }, () => held(most, (bytes) => (fetched += bytes)));
    const answers = all.map(({ body }) => send(app, "/image", body, { length: most }));
    await pause();
    // A stream also reads one part ahead of its reader.
    expect(fetched).toBeLessThan(bodiesAtOnce * most + 40 * 65_536 + 1);
    expect((await send(app, "/plain", "{}")).status).toBe(200);
    await new Promise((resolve) => setTimeout(resolve, 400));
    for (const { finish } of all) finish();
    const statuses = (await Promise.all(answers)).map((answer) => answer.status);
    expect(statuses).toEqual([
      ...new Array(bodiesAtOnce).fill(200),
      ...new Array(40 - bodiesAtOnce).fill(503),
    ]);
    const refused = await answers.at(-1)!;
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  });

  it("count in full where they do not say their length", async () => {
    const app = appWith({ patienceSeconds: 0.05 });
    const all = Array.from({ length: bodiesAtOnce + 1 }, () => held(10));
    const answers = all.map(({ body }) => send(app, "/image", body));
    await new Promise((resolve) => setTimeout(resolve, 100));
    for (const { finish } of all) finish();
    expect((await Promise.all(answers)).map(({ status }) => status).at(-1)).toBe(503);
  });

  it("are over for a request that has made its job of them and waits for it", async () => {
    let finish = () => {};
    const app = appWith({ patienceSeconds: 0.05 }, new Promise<void>((resolve) => (finish = resolve)));
    const text = JSON.stringify("a".repeat(plainBodyBytes - 2));
    const answers = Array.from({ length: 200 }, () => send(app, "/waits", text));
    await pause();
    finish();
    expect(new Set((await Promise.all(answers)).map(({ status }) => status))).toEqual(new Set([200]));
  });
});

describe("the size of a body", () => {
  it("is large for routes whose schema has an image, and for no others", async () => {
    const at = await stage();
    type Schema = { $ref?: string; properties?: Record<string, { format?: string; description?: string }> };
    type Operation = { requestBody?: { content: Record<string, { schema: Schema }> } };
    const document = (await (await at.get("/openapi.json")).json()) as {
      paths: Record<string, Record<string, Operation>>;
      components: { schemas: Record<string, Schema> };
    };
    const named = ({ $ref, ...schema }: Schema) =>
      $ref ? document.components.schemas[$ref.split("/").at(-1)!]! : schema;
    const takesImage = (operation: Operation) =>
      Object.values(operation.requestBody?.content ?? {}).some(({ schema }) =>
        Object.keys(named(schema).properties ?? {}).some((name) => /^(image|mask|init_images)$/.test(name)),
      );
    const paths = Object.entries(document.paths).filter(([, operations]) =>
      Object.values(operations).some(takesImage),
    );
    // Scripts have no schema, and those that are off may bring images along.
    const scripts = "/sdapi/v1/txt2img";
    expect(new Set([...paths.map(([path]) => path), scripts])).toEqual(imagePaths);
    await at.close();
  });
});
