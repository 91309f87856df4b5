// A trained BPE as the two files that every Hugging Face loader opens: tokenizer.json and tokenizer_config.json.

/**
 * @param {import('./bpe.mjs').Bpe} bpe
 * @returns {{ tokenizer: object, config: object }} the two files' JSON
 */
export function tokenizerFiles(bpe) {
  const [end] = bpe.specials
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  const special = (/** @type {string} */ content, /** @type {number} */ id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  })
  return {
    tokenizer: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: bpe.specials.map(special),
      normalizer: null,
      pre_tokenizer: byteLevel,
      post_processor: byteLevel,
      decoder: byteLevel,
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab: Object.fromEntries(bpe.tokens.map((token, id) => [token, id])),
        // the byte alphabet has no blank, so a blank separates the two parts without doubt
        merges: bpe.merges.map(([left, right]) => `${bpe.tokens[left]} ${bpe.tokens[right]}`),
      },
    },
    config: {
      add_prefix_space: false,
      bos_token: end,
      clean_up_tokenization_spaces: false,
      eos_token: end,
      tokenizer_class: 'PreTrainedTokenizerFast',
      unk_token: end,
    },
  }
}
