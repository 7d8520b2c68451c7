/**
 * @file Rows of tensors by key, gathered into safetensors files of bounded size.
 *
 * A shard is written once, whole. Rows that do not fill one yet are kept in a file of their own from time to time, so
 * that a killed process loses seconds of work, and the shards come out the same as if it had never stopped.
 */

import path from "node:path";
import type { z } from "zod";
import { InvalidRequest } from "../../errors.js";
import { kindOf, readdir, rm } from "../../files/file-system.js";
import { fromFloat32 } from "../../weights/dtype.js";
import type { TensorEntry } from "../../weights/safetensors.js";
import { openSafetensors, writeSafetensors } from "../../weights/safetensors-file.js";
import { damaged } from "./description.js";

export type ShardOptions = {
  dtype?: "float32" | "float16";
  /** A shard is written when its rows reach this many bytes. */
  shardBytes?: number;
  /** How long unwritten rows are held in memory alone. */
  parkSeconds?: number;
};

export type Row = Readonly<Record<string, { data: Float32Array; shape: readonly number[] }>>;

/** The location of a row: the shard's name and each tensor's entry in it. */
export type RowLocation<Note> = { file: string; tensors: Readonly<Record<string, TensorEntry>>; note: Note };

type Waiting<Note> = {
  tensors: Map<string, { shape: readonly number[]; data: ArrayBufferView }>;
  note: Note;
};

export class Shards<Note> {
  readonly locations = new Map<string, RowLocation<Note>>();
  readonly #waiting = new Map<string, Waiting<Note>>();
  readonly #folder: string;
  readonly #prefix: string;
  readonly #note: z.ZodType<Note>;
  readonly #options: Required<ShardOptions>;
  readonly #numbers = new Set<number>();
  #bytes = 0;
  #parkedAt = Date.now();

  private constructor(folder: string, prefix: string, note: z.ZodType<Note>, options: ShardOptions) {
    this.#folder = folder;
    this.#prefix = prefix;
    this.#note = note;
    this.#options = { dtype: "float32", shardBytes: 2 ** 25, parkSeconds: 30, ...options };
  }

  /** Takes up what is there; a ModelError names a file that is not whole. */
  static async open<Note>(
    folder: string,
    prefix: string,
    note: z.ZodType<Note>,
    options: ShardOptions = {},
  ): Promise<Shards<Note>> {
    const shards = new Shards(folder, prefix, note, options);
    const pattern = new RegExp(`^${prefix}-(\\d{5,})\\.safetensors$`);
    for (const name of (await readdir(folder)).sort()) {
      const number = pattern.exec(name)?.[1];
      if (number === undefined) continue;
      shards.#numbers.add(Number(number));
      await shards.#takeUp(name);
    }
    await shards.#takeParked();
    return shards;
  }

  has(key: string): boolean {
    return this.locations.has(key) || this.#waiting.has(key);
  }

  /** Adds a row; writes a shard when it is full. */
  async add(key: string, row: Row, note: Note): Promise<void> {
    const tensors = Object.entries(row).map(([kind, { data, shape }]) => {
      const stored = this.#options.dtype === "float16" ? halves(key, data) : data;
      return [kind, { shape, data: stored }] as const;
    });
    this.#hold(key, { tensors: new Map(tensors), note });
    if (this.#bytes >= this.#options.shardBytes) await this.finish();
    else if (Date.now() - this.#parkedAt >= 1000 * this.#options.parkSeconds) await this.park();
  }

  /** Puts the rows that fill no shard yet where the next run finds them. */
  async park(): Promise<void> {
    if (this.#waiting.size > 0) await this.#write(this.#parkedName);
    this.#parkedAt = Date.now();
  }

  /** Writes the rows that are left as a shard, though it be smaller. */
  async finish(): Promise<void> {
    if (this.#waiting.size > 0) {
      let number = 0;
      while (this.#numbers.has(number)) number++;
      const name = `${this.#prefix}-${String(number).padStart(5, "0")}.safetensors`;
      if (await kindOf(this.#at(name))) {
        const rule = `must be written by one process at a time, got ${name} from another.`;
        throw new InvalidRequest("cache", this.#folder, `${rule} Wait for it, or choose another folder.`);
      }
      await this.#write(name);
      this.#numbers.add(number);
      this.#waiting.clear();
      this.#bytes = 0;
      await this.#takeUp(name);
    }
    await rm(this.#at(this.#parkedName), { force: true });
    this.#parkedAt = Date.now();
  }

  get #parkedName(): string {
    return `${this.#prefix}-unfinished.safetensors`;
  }

  #at(name: string): string {
    return path.join(this.#folder, name);
  }

  #hold(key: string, waiting: Waiting<Note>): void {
    this.#waiting.set(key, waiting);
    for (const { data } of waiting.tensors.values()) this.#bytes += data.byteLength;
  }

  async #write(name: string): Promise<void> {
    const dtype = this.#options.dtype === "float16" ? ("F16" as const) : ("F32" as const);
    const tensors = [...this.#waiting].flatMap(([key, { tensors }]) =>
      [...tensors].map(([kind, tensor]) => [`${kind}/${key}`, { dtype, ...tensor }] as const),
    );
    const rows = JSON.stringify([...this.#waiting].map(([key, { note }]) => [key, note]));
    await writeSafetensors(this.#at(name), new Map(tensors), { metadata: { rows } });
  }

  async #takeUp(name: string): Promise<void> {
    const { rows } = await this.#read(name);
    for (const { key, note, tensors } of rows) this.locations.set(key, { file: name, tensors, note });
  }

  /** Rows that a shard holds already were written just before the process ended. */
  async #takeParked(): Promise<void> {
    if (!(await kindOf(this.#at(this.#parkedName)))) return;
    const { rows, file } = await this.#read(this.#parkedName);
    for (const { key, note, tensors } of rows) {
      if (this.locations.has(key)) continue;
      const held: Waiting<Note>["tensors"] = new Map();
      for (const [kind, { shape }] of Object.entries(tensors))
        held.set(kind, { shape, data: await file.read(`${kind}/${key}`) });
      this.#hold(key, { tensors: held, note });
    }
  }

  async #read(name: string) {
    const at = this.#at(name);
    try {
      const file = await openSafetensors(at);
      const notes = JSON.parse(file.metadata.rows ?? "") as [string, unknown][];
      const tensors = new Map<string, Record<string, TensorEntry>>(notes.map(([key]) => [key, {}]));
      for (const [full, entry] of file.tensors) {
        const [, kind, key] = /^([^/]*)\/(.*)$/s.exec(full) as unknown as [string, string, string];
        tensors.get(key)![kind] = entry;
      }
      const rows = notes.map(([key, note]) => ({
        key,
        note: this.#note.parse(note),
        tensors: tensors.get(key)!,
      }));
      return { file, rows };
    } catch (error) {
      throw damaged(at, error);
    }
  }
}

function halves(key: string, data: Float32Array): ArrayBufferView {
  const stored = fromFloat32(data, "F16") as Uint16Array;
  if (!stored.some((bits) => (bits & 0x7c00) === 0x7c00)) return stored;
  const rule = `must be "float32" for values beyond 65504, got "float16" and such a value for "${key}".`;
  throw new InvalidRequest("dtype", "float16", rule);
}
