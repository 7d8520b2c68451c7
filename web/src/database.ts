/** @file The IndexedDB database of the gallery: images with their settings, their files, and grids. */

import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import type { Axes } from "../../src/grid/axes.js";
import type { GenerationRequest, GenerationSettings } from "../../src/jobs/schemas.js";

/** An image without its files. */
export type SavedImage = {
  id: string;
  /** Milliseconds since 1970. */
  createdAt: number;
  /** With the image's own seed and a count of 1: they generate this image alone. */
  settings: GenerationSettings;
  width: number;
  height: number;
  thumbnail: Blob;
  /** What of the request was cut, changed or had no effect; absent if nothing was. */
  warnings?: readonly string[];
};

/** The image itself, and the init image and mask that it was generated from. */
export type SavedFiles = { id: string; file: Blob; image?: Blob; mask?: Blob };

export type SavedCell = { file: Blob; settings: GenerationSettings; warnings?: readonly string[] };

export type SavedGrid = {
  id: string;
  createdAt: number;
  base: GenerationRequest;
  axes: Axes;
  /** Row by row; null until generated. */
  cells: (SavedCell | null)[];
};

interface Schema extends DBSchema {
  images: { key: string; value: SavedImage; indexes: { createdAt: number } };
  files: { key: string; value: SavedFiles };
  grids: { key: string; value: SavedGrid; indexes: { createdAt: number } };
}

export type Database = IDBPDatabase<Schema>;

export const openDatabase = (): Promise<Database> =>
  openDB<Schema>("koala", 1, {
    upgrade(database) {
      database.createObjectStore("images", { keyPath: "id" }).createIndex("createdAt", "createdAt");
      database.createObjectStore("files", { keyPath: "id" });
      database.createObjectStore("grids", { keyPath: "id" }).createIndex("createdAt", "createdAt");
    },
  });
