/** @file The server that this page asks: its own, with the key that the visitor gave. */

import type { Painter } from "./backend.js";
import { HttpPainter } from "./http-backend.js";
import { key } from "./key.js";

export const backend: Painter = new HttpPainter(() => key.value);
