/** A byte-level tokenizer.json of `count` tokens (at least the 256 bytes are not all there), for models without one. */
export function madeUpTokenizer(count: number): object {
  // GPT-2's names of bytes: printable ones are themselves, the others follow from U+0100
  const names: string[] = []
  for (let byte = 0, next = 256; byte < 256; byte++) {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255)
    names.push(String.fromCharCode(printable ? byte : next++))
  }
  const vocab = Object.fromEntries(Array.from({ length: count }, (_, id) => [names[id] ?? `<${id}>`, id]))
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: { type: 'BPE', unk_token: null, ignore_merges: false, vocab, merges: [[names[65], names[66]]] },
  }
}
