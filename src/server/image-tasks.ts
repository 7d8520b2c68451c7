/**
 * @file The functions that read an image of a request: decode it, inflate its texts, take a mask from it. A server runs
 * them in threads (image-threads.ts), since each may take seconds and hundreds of megabytes.
 */

import { maskSource, sourceFromBytes, sourceFromText } from "../jobs/sent-images.js";
import { pngInfo } from "./a1111/png-info.js";

export const imageTasks = { sourceFromText, sourceFromBytes, maskSource, pngInfo };

export type ImageTasks = typeof imageTasks;
