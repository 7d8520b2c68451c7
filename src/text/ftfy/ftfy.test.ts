/** @file ftfy's documented examples, and each step of the cleaning. */

import { describe, expect, it } from "vitest";
import { fixText } from "./ftfy.js";

describe("fixText", () => {
  // From the documentation of ftfy 6.3.
  it.each([
    ["âœ” No problems", "✔ No problems"],
    ["&macr;\\_(ã\x83\x84)_/&macr;", "¯\\_(ツ)_/¯"],
    ["Broken text&hellip; it&#x2019;s ﬂubberiﬁc!", "Broken text… it's flubberific!"],
    ["ＬＯＵＤ　ＮＯＩＳＥＳ", "LOUD NOISES"],
    ["schÃ¶n", "schön"],
    ["voilÃ le travail", "voilà le travail"],
    ["P&EACUTE;REZ", "PÉREZ"],
    ["BUNDESSTRA&SZLIG;E", "BUNDESSTRASSE"],
    ["ñ &Ntilde; &NTILDE; &nTILDE;", "ñ Ñ Ñ &nTILDE;"],
    ["Ｕﾀｰﾝ", "Uターン"],
    ["\x1b[36;44mI'm blue\x1b[0m", "I'm blue"],
  ])("mends %j", (broken, mended) => {
    expect(fixText(broken)).toBe(mended);
  });

  it("keeps entities from the line with a tag on", () => {
    expect(fixText("&lt;\n<b>&lt;\n&lt;")).toBe("<\n<b>&lt;\n&lt;");
  });

  it("keeps correct text unchanged", () => {
    for (const text of ["Über den Dächern", "¿Qué? ¡Olé!", "Ångström à la carte", "北京 서울 Москва", ""]) {
      expect(fixText(text)).toBe(text);
    }
  });

  it("reads numeric references as HTML does", () => {
    expect(fixText("&#128;&#0;&#xD800;&#1114112;&#1;&#12abc;")).toBe("€\ufffd\ufffd\ufffd&#12abc;");
  });

  it("replaces all line breaks by one kind, and composes characters", () => {
    expect(fixText("a\r\nb\rc\u2028d e\u0301")).toBe("a\nb\nc\nd é");
  });

  it("replaces half surrogates", () => {
    expect(fixText("a\ud83d b\udca9 \ud83d\udca9")).toBe("a\ufffd b\ufffd \u{1f4a9}");
  });

  it("repairs parts of a text that fits no single encoding", () => {
    expect(fixText("狐 cafÃ© â€œquotedâ€\x9d")).toBe('狐 café "quoted"');
  });
});
