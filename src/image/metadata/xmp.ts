/** @file Writes and reads the XMP packet of a generated image. Pure. */

/** IPTC Photo Metadata 2022.1: the source type of what a trained model made. */
const sourceType = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia";

/** The packet, with our metadata inside for formats that cannot hold it elsewhere. */
export function xmpPacket(record?: string): string {
  const own =
    record === undefined ? "" : `<koala:${recordElement} ${ownSpace}>${record}</koala:${recordElement}>`;
  return [
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>',
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">',
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">',
    `<Iptc4xmpExt:DigitalSourceType>${sourceType}</Iptc4xmpExt:DigitalSourceType>${own}`,
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>',
  ].join("\n");
}

const recordElement = "record";
const ownSpace = 'xmlns:koala="urn:koala-diffusion:image#"';

/** Our metadata in a packet: an element as we write it, or an attribute as other programs rewrite it. */
export function recordInXmp(packet: string): string | undefined {
  const element = /<koala:record(?:\s[^<>]*)?>([^<]*)<\/koala:record>/.exec(packet)?.[1];
  const written = element ?? /\skoala:record=(?:"([^"<]*)"|'([^'<]*)')/.exec(packet)?.slice(1).join("");
  return written === undefined ? undefined : unescaped(written);
}

/** EXIF's UserComment as XMP has it: the first of its languages. Draw Things keeps its settings there. */
export function commentInXmp(packet: string): string | undefined {
  const start = packet.indexOf("<exif:UserComment");
  const item = start < 0 ? -1 : packet.indexOf("<rdf:li", start);
  const from = item < 0 ? -1 : packet.indexOf(">", item) + 1;
  const end = from < 1 ? -1 : packet.indexOf("<", from);
  return end < 0 ? undefined : unescaped(packet.slice(from, end));
}

const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

const unescaped = (text: string): string =>
  text.replace(/&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|(amp|lt|gt|quot|apos));/gi, (whole, hex, decimal, name) => {
    if (name !== undefined) return entities[String(name).toLowerCase()]!;
    const point = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole;
  });
