/**
 * @file All that reads an image of a request: decodes, inflates, takes it apart. A server runs these in threads of
 * their own (image-threads.ts), since each may take seconds and hundreds of megabytes.
 */

import { maskSource, sourceFromBytes, sourceFromText } from "../jobs/sent-images.js";
import { pngInfo } from "./a1111/png-info.js";

export const imageTasks = { sourceFromText, sourceFromBytes, maskSource, pngInfo };

export type ImageTasks = typeof imageTasks;
