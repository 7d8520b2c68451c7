/** @file The Worker of a tab: loads and runs networks for its page, which stays free to react meanwhile. */

import { answerCalls, type FromThread, type ToThread } from "../calls.js";
import { loadOnnxRuntimeFrom } from "../engine/ort/web-build.browser.js";
import { tabMethods } from "./methods.browser.js";
import type { TabMethods } from "./protocol.js";

const { open, ...others } = tabMethods();
const methods: TabMethods = {
  ...others,
  open: (options) => {
    loadOnnxRuntimeFrom(options.ort);
    return open(options);
  },
};

const post = (message: FromThread, transfer: Iterable<ArrayBuffer> = []) =>
  globalThis.postMessage(message, { transfer: [...transfer] });
const receive = answerCalls(methods, post);
globalThis.addEventListener("message", ({ data }: MessageEvent<ToThread>) => void receive(data));
post({ type: "started" });
