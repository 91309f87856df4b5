// A decoder as a base, what trains, and what is added; forward and backward over packed examples.
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <vector>

#include "models/block.h"
#include "models/head.h"
#include "models/kv_cache.h"

namespace oneround {

struct DecoderLimits {
  int64_t rows = 0;  // most rows of one pass
  int64_t longest_segment = 0;
  bool training = false;   // false: one block's activations serve all
  bool recompute = false;  // training: one block's activations serve all but the inputs, and are computed twice
  int64_t clients = 1;     // most clients of one pass
  bool rounded = false;    // products round their operands to bf16
};

class Decoder {
 public:
  // `overlays` must outlive the decoder.
  static Status create(std::shared_ptr<const BaseWeights> base, const Parameters& parameters,
                       const std::vector<Overlay>& overlays, DecoderLimits limits, std::unique_ptr<Decoder>* out);

  // Bytes that lay_out() takes.
  int64_t activation_bytes() const;
  // Takes all buffers, fills the rotary tables and reads the frozen vectors.
  Status allocate(const Backend& backend);
  // Widest matrix dimension, for the backend's scratch.
  int64_t widest() const;

  // Factors are those of a pass's clients; whole tensors that train are those of create()'s parameters, for one client.
  // Losses per labelled row, no gradient.
  Status losses(const Backend& backend, const int32_t* ids, const int32_t* labels, const Pass& pass, double* losses,
                const std::atomic<bool>& abort);
  // The same, and gradients of each client's d_loss * sum(losses) added to its parameters'.
  Status backward(const Backend& backend, const int32_t* ids, const int32_t* labels, const Pass& pass, double* losses,
                  const std::atomic<bool>& abort);
  // Fills a sequence's emptied cache with `count` tokens; logits [V] of the last one.
  Status prefill(const Backend& backend, const Parameters& parameters, const int32_t* ids, int64_t count,
                 int32_t sequence, KvCache* cache, float* logits, const std::atomic<bool>& abort);
  // One more token of sequence 0, by products of one row: the fastest for a single text.
  Status next(const Backend& backend, const Parameters& parameters, int32_t id, KvCache* cache, float* logits,
              const std::atomic<bool>& abort);
  // One more token of each of several sequences, logits [count, V]. Weights are read once for all; a sequence's bits do
  // not depend on the others, and differ from next()'s by rounding.
  Status next_each(const Backend& backend, const Parameters& parameters, const int32_t* ids, const int32_t* sequences,
                   int64_t count, KvCache* cache, float* logits, const std::atomic<bool>& abort);
  Status logits(const Backend& backend, const int32_t* ids, const Pass& pass, float* out,
                const std::atomic<bool>& abort);

 private:
  Status bind(const Parameters& parameters, const std::vector<Overlay>& overlays);
  LinearLayer bind_linear(const Parameters& parameters, const std::vector<Overlay>& overlays, const std::string& name,
                          bool has_bias);
  // A vector's f32 values and, where it trains, its gradient.
  const float* bind_vector(const Parameters& parameters, const std::string& name, float** gradient);
  Norm bind_norm(const Parameters& parameters, const std::string& name, bool has_bias);
  BlockWeights bind_block(const Parameters& parameters, const std::vector<Overlay>& overlays, int64_t layer);
  void lay_out(Arena* arena);
  // What block `layer` reads and writes, cut to `rows`.
  BlockActivations activations(int64_t layer, int64_t rows) const;
  void fill_position_ids(Segments segments);
  BlockContext context(const Backend& backend, const Pass& pass) const;
  // Runs all blocks; the last one's output is in final_.
  Status forward(const BlockContext& context, const int32_t* ids, int64_t rows, const std::atomic<bool>& abort);

  std::shared_ptr<const BaseWeights> base_;
  DecoderLimits limits_;
  std::vector<BlockWeights> blocks_;
  HeadWeights head_;
  bool head_trains_ = false;  // known before the buffers have addresses
  Weight embedding_;
  Matrix d_embedding_;
  Weight positions_;  // data null: rotary
  Matrix d_positions_;
  // Norm weights and biases that do not train, as f32. A list, so that their addresses stay.
  struct FrozenVector {
    const Weight* stored;
    std::vector<float> values;
  };
  std::list<FrozenVector> frozen_;
  int64_t first_trained_ = 0;  // blocks below it need no gradient

  Arena arena_;
  std::vector<BlockActivations> kept_;  // one a block, or one for all
  std::vector<Matrix> inputs_;          // with recompute: each block's x
  BlockScratch scratch_;
  HeadScratch head_scratch_;
  Matrix final_, d_;
  float* cos_ = nullptr;
  float* sin_ = nullptr;
  int32_t* position_ids_ = nullptr;     // [rows], learned positions only
  Segment* cached_segments_ = nullptr;  // [rows], of next_each
  float* inner_ = nullptr;              // for one row's factors, see linear_row.h
};

}  // namespace oneround
