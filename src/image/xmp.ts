/** @file The XMP packet of a picture that a model painted. Pure. */

/** IPTC Photo Metadata 2022.1: the source type of what a trained model made. */
const sourceType = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia";

/** The packet, with our record inside where a format has no other place for it. */
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
const ownSpace = 'xmlns:koala="urn:koala-diffusion:picture#"';
