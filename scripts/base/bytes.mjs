// GPT-2's printable alphabet of the 256 bytes and its split of text into pieces, the two conventions that
// a ByteLevel tokenizer.json names and every loader of such a file knows by heart.
// Source: Radford et al. 2019, the `bytes_to_unicode` table and the pattern of the public GPT-2 encoder.

/**
 * byte -> its character. Printable Latin-1 bytes stand for themselves; the 68 others take U+0100 and up, in order.
 * @type {readonly string[]}
 */
export const BYTE_CHARACTERS = (() => {
  const characters = new Array(256)
  let next = 256
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
    characters[byte] = String.fromCodePoint(printable ? byte : next++)
  }
  return characters
})()

/** Pieces are merged only within themselves. */
const PIECE = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu

/**
 * The pieces of a text; joined they are the text.
 * @param {string} text
 * @returns {string[]}
 */
export function pieces(text) {
  return text.match(PIECE) ?? []
}
