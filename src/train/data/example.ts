/** @file Training data of any format: images with captions. */

/** An image (its file's bytes, not yet decoded) and its caption. */
export type Example = {
  /** Unique in the data and the same on every machine: a relative path, `shard#member` or `file#row`. */
  readonly key: string;
  readonly caption: string;
  /** The encoded image. Only parquet keeps the bytes in memory for as long as the example is held. */
  bytes(): Promise<Uint8Array>;
};

/** An example left out, and why. */
export type SkippedExample = { readonly key: string; readonly reason: string };

export type DataSource = {
  readonly kind: "imagefolder" | "webdataset" | "parquet";
  /** How many examples there are at most (some may yet be skipped); undefined where they are not counted before reading. */
  readonly count: number | undefined;
  /** All examples, in the same order each time. `onSkip` is called for each one that is left out, each time. */
  examples(onSkip?: (skipped: SkippedExample) => void): AsyncIterable<Example>;
};

/** A file of a data set: where it is, and the name it has in keys. */
export type DataFile = { readonly name: string; readonly path: string };

export type DataOptions = {
  /** Column (or JSON field) with the caption. Default: "text", else "caption", else the only one of texts. */
  readonly captionColumn?: string | undefined;
  /**
   * Parquet: column with the image's bytes. WebDataset: extension of the image. A folder's tables: column with the
   * image's file name, "file_name" by default.
   */
  readonly imageColumn?: string | undefined;
  /** Where an example has a list of captions, one is drawn by this and the example's key. Default 0. */
  readonly seed?: number | undefined;
};

/** Order of keys by UTF-16 unit, so that it does not depend on the machine's language. */
export function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
