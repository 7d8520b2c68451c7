/** @file One-byte encodings in which UTF-8 is wrongly decoded, as tables of 256 characters. */

export interface Codepage {
  readonly name: string;
  /** Unassigned bytes stand for Latin-1's characters, and byte 1A for U+FFFD. */
  readonly sloppy: boolean;
  /** Character of each byte. */
  readonly characters: readonly string[];
}

const oemUpperHalf =
  "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌" +
  "█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0";

const windows1252Controls = "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ";

/** Windows-1252's character of a byte. */
// Written out because some versions of Node decode "windows-1252" as Latin-1.
export function windows1252(byte: number): string {
  return windows1252Controls[byte - 0x80] ?? String.fromCharCode(byte);
}

/** The encodings ftfy tries, in its order. */
export function codepages(): Codepage[] {
  return [
    { name: "latin-1", sloppy: false, characters: latin1() },
    { name: "windows-1252", sloppy: true, characters: sloppy(latin1().map((_, byte) => windows1252(byte))) },
    ...["1251", "1250", "1253", "1254", "1257"].map((n) => decoded(`windows-${n}`, true)),
    decoded("iso-8859-2", false),
    decoded("macintosh", false),
    { name: "cp437", sloppy: false, characters: [...latin1().slice(0, 128), ...oemUpperHalf] },
  ];
}

const latin1 = () => Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));

function decoded(name: string, isSloppy: boolean): Codepage {
  const characters = [...new TextDecoder(name).decode(Uint8Array.from({ length: 256 }, (_, byte) => byte))];
  const filled = characters.map((c, byte) => (c === "\ufffd" ? String.fromCharCode(byte) : c));
  return { name, sloppy: isSloppy, characters: isSloppy ? sloppy(filled) : filled };
}

const sloppy = (characters: string[]) => characters.with(0x1a, "\ufffd");

/** The text's bytes, one Latin-1 character each, or undefined if the encoding lacks one of its characters. */
export function encoded(text: string, { characters }: Codepage): string | undefined {
  const bytes = new Map(characters.map((c, byte) => [c, String.fromCharCode(byte)]));
  let out = "";
  for (const character of text) {
    const byte = bytes.get(character);
    if (byte === undefined) return undefined;
    out += byte;
  }
  return out;
}
