/**
 * @file Colours of the command line's output, where the stream is a terminal and unless NO_COLOR is set; FORCE_COLOR
 * sets them anywhere. A pipe gets plain text, in continuous integration too.
 */

import { styleText } from "node:util";

type Format = Parameters<typeof styleText>[0];

const colored =
  (format: Format, stream: NodeJS.WriteStream) =>
  (text: string): string =>
    styleText(format, text, { stream });

/** For standard error. */
export const red = colored("red", process.stderr);
export const yellow = colored("yellow", process.stderr);
export const cyan = colored("cyan", process.stderr);
export const dim = colored("dim", process.stderr);

/** For standard output. */
export const bold = colored("bold", process.stdout);
