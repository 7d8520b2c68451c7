/** @file The server that this page asks: its own, with the key that the visitor gave. */

import { HttpPainter } from "./http-painter.js";
import { key } from "./key.js";
import type { Painter } from "./painter.js";

export const backend: Painter = new HttpPainter(() => key.value);
