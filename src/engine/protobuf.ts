/**
 * @file Writes protocol buffers: messages as tables of their fields, whose order is that of the bytes.
 * https://protobuf.dev/programming-guides/encoding/
 */

/** Values of one type: `wire` is the format's number for how their end is found. */
type Kind<T> = { readonly wire: 0 | 2 | 5; write(out: Output, value: T): void };

/** Integers of every size, and numbers of an enum. */
export const int: Kind<number> = { wire: 0, write: (out, value) => out.varint(value) };
export const float: Kind<number> = { wire: 5, write: (out, value) => out.float32(value) };
export const text: Kind<string> = { wire: 2, write: (out, value) => out.text(value) };
export const bytes: Kind<Uint8Array> = { wire: 2, write: (out, value) => out.bytes(value) };

/** Writes a field: its number, its wire type, and its value. */
type Field<T> = (out: Output, value: T) => void;

export const one = <T>(number: number, { wire, write }: Kind<T>): Field<T> => {
  const tag = (number << 3) | wire;
  return (out, value) => {
    out.varint(tag);
    write(out, value);
  };
};

/** A field for each value of a list. */
export const many = <T>(number: number, kind: Kind<T>): Field<readonly T[]> => {
  const each = one(number, kind);
  return (out, values) => {
    for (const value of values) each(out, value);
  };
};

/** One field for a list of integers, which is left out where there are none. */
export const packed = (number: number): Field<readonly number[]> => {
  const write = (out: Output, values: readonly number[]) =>
    out.delimited(() => {
      for (const value of values) out.varint(value);
    });
  const field = one(number, { wire: 2, write });
  return (out, values) => {
    if (values.length > 0) field(out, values);
  };
};

/** A message's value, by the table of its fields; what is undefined is left out. */
type Value<F> = { readonly [K in keyof F]?: F[K] extends Field<infer T> ? T : never };
type Message<T> = Kind<T> & { writeFields(out: Output, value: T): void };
export type ValueOf<M> = M extends Message<infer T> ? T : never;

/** A message of these fields, which are written in the table's order. */
export function message<F extends Record<string, Field<never>>>(fields: F): Message<Value<F>> {
  const all = Object.entries(fields) as [keyof F, Field<unknown>][];
  const writeFields = (out: Output, value: Value<F>) => {
    for (const [name, field] of all) if (value[name] !== undefined) field(out, value[name]);
  };
  return { wire: 2, writeFields, write: (out, value) => out.delimited(() => writeFields(out, value)) };
}

/** The bytes of a whole message. */
export function encode<T>(of: Message<T>, value: T): Uint8Array {
  const out = new Output();
  of.writeFields(out, value);
  return out.finish();
}

/**
 * A growing array of bytes. Declarations name it, so it must be exported.
 *
 * @public
 */
export class Output {
  #bytes = new Uint8Array(2 ** 12);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** An integer, safe in JavaScript: seven bits a byte, the lowest first; of a negative one the 64 bits. */
  varint(value: number): void {
    this.#reserve(10);
    if (value < 0) {
      let rest = BigInt.asUintN(64, BigInt(value));
      for (; rest > 127n; rest >>= 7n) this.#bytes[this.#length++] = Number(rest & 127n) | 128;
      this.#bytes[this.#length++] = Number(rest);
      return;
    }
    let rest = value;
    for (; rest > 127; rest = Math.floor(rest / 128)) this.#bytes[this.#length++] = (rest % 128) | 128;
    this.#bytes[this.#length++] = rest;
  }

  float32(value: number): void {
    this.#reserve(4);
    this.#view.setFloat32(this.#length, value, true);
    this.#length += 4;
  }

  bytes(value: Uint8Array): void {
    this.varint(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  text(value: string): void {
    this.delimited(() => {
      this.#reserve(3 * value.length); // no UTF-16 unit takes more in UTF-8
      this.#length += utf8.encodeInto(value, this.#bytes.subarray(this.#length)).written;
    });
  }

  /** What `write` writes, behind its length. */
  delimited(write: () => void): void {
    this.#reserve(1);
    const start = this.#length++;
    write();
    const size = this.#length - start - 1;
    // One byte was left for the length, which has seven bits in each.
    const more = Math.floor((31 - Math.clz32(size)) / 7);
    if (more > 0) {
      this.#reserve(more);
      this.#bytes.copyWithin(start + 1 + more, start + 1, this.#length);
    }
    this.#length = start;
    this.varint(size);
    this.#length += size;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const wider = new Uint8Array(2 * (this.#bytes.length + count));
    wider.set(this.#bytes); // whole: `delimited` goes back to a length in front of what it wrote
    this.#bytes = wider;
    this.#view = new DataView(wider.buffer);
  }
}

const utf8 = new TextEncoder();
