// Perplexity of a language model with short memory over a token stream.

/**
 * exp of the mean negative log-probability of every token but the first, which is the separator that opens the stream.
 * Each token is predicted from all that precede it in the stream.
 * @param {{ probability(stream: Int32Array, at: number): number }} model   P(stream[at] | what precedes it)
 * @param {Int32Array} stream
 */
export function streamPerplexity(model, stream) {
  let sum = 0
  for (let at = 1; at < stream.length; at++) sum -= Math.log(model.probability(stream, at))
  return Math.exp(sum / (stream.length - 1))
}
