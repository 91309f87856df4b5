// One training or scoring session: parameters, optimizer state, activations, threads. One job at a time.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <vector>

#include "models/decoder.h"
#include "ops/cpu_backend.h"
#include "ops/profiled_backend.h"

namespace oneround {

struct SessionOptions {
  std::vector<Slot> slots;
  std::vector<Overlay> overlays;
  int threads = 1;
  Compute compute = Compute::f32;
  int64_t rows_per_pass = 0;
  int64_t longest_example = 0;
  bool training = true;
  bool recompute = false;  // keep only each block's input and compute the block again in the backward pass
  int64_t cache = 0;       // tokens of the generation cache of one sequence; 0: none
  int64_t sequences = 1;   // texts that the cache holds side by side
  bool profile = false;    // measure every operation of gradients, steps and evaluations
  // Room for what a strategy adds to the gradient (train/local_terms.h): parameters to stay near, a correction.
  bool anchored = false, corrected = false;
};

struct MemoryBudget {
  int64_t parameters = 0, gradients = 0, optimizer = 0, activations = 0, scratch = 0, cache = 0;
  int64_t total() const { return parameters + gradients + optimizer + activations + scratch + cache; }
};

// Examples laid one after another.
struct Batch {
  std::vector<int32_t> ids;     // [rows]
  std::vector<int32_t> labels;  // [rows], negative: no loss
  std::vector<int32_t> lengths;
  std::vector<uint32_t> dropout_counters;  // one an example
  // Empty, or one an example: the example that it goes on from, -1 for none (Segment). Then the batch is one pass.
  std::vector<int32_t> parents;
};

enum class Optimizer { adamw, sgd };

struct StepOptions {
  Optimizer optimizer = Optimizer::adamw;
  double momentum = 0;
  bool nesterov = false;
  double learning_rate = 0, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0, clip_norm = 0;
  double proximal = 0;  // mu of the pull towards the anchor; not in the loss that is told
  uint32_t seed = 0;
};

struct StepResult {
  double loss = 0;
  int64_t tokens = 0;
  double gradient_norm = 0;
};

class Session {
 public:
  static Status create(std::shared_ptr<const BaseWeights> base, SessionOptions options, std::unique_ptr<Session>* out);
  // What create() would take, without taking it.
  static Status budget_of(std::shared_ptr<const BaseWeights> base, SessionOptions options, MemoryBudget* out);

  const MemoryBudget& budget() const { return budget_; }
  Compute compute() const { return options_.compute; }
  // Operations since the last call; empty where nothing is measured.
  std::vector<OperationProfile> take_profile();
  Parameters& parameters() { return *parameters_; }
  const Parameters& parameters() const { return *parameters_; }
  const Backend& backend() const { return profiled_ == nullptr ? backend_->table() : profiled_->table(); }
  const BaseWeights& base() const { return *base_; }
  void load_base();
  // Null where the session was not opened with it; else as many numbers as there are parameters.
  float* anchor() { return anchor_.empty() ? nullptr : anchor_.data(); }
  float* correction() { return correction_.empty() ? nullptr : correction_.data(); }

  // The checks that every batch must pass before a job starts.
  Status check(const Batch& batch) const;
  Status check_parents(const Batch& batch) const;
  Status step(const Batch& batch, const StepOptions& options, const std::atomic<bool>& abort, StepResult* out);
  Status gradient(const Batch& batch, uint32_t seed, const std::atomic<bool>& abort, StepResult* out);
  // Summed loss and labelled tokens of each example.
  Status evaluate(const Batch& batch, const std::atomic<bool>& abort, std::vector<double>* losses,
                  std::vector<int32_t>* tokens);
  // Generation: a sequence's prompt, then one token at a time; logits [V] of what comes next.
  Status check_prompt(std::span<const int32_t> ids, int32_t sequence) const;
  Status prefill(std::span<const int32_t> ids, int32_t sequence, const std::atomic<bool>& abort,
                 std::vector<float>* logits);
  // One more token of each of some sequences, which have their prompts; logits [count, V]. A session of one sequence
  // takes the way that is fastest for a single text.
  Status check_next(std::span<const int32_t> ids, std::span<const int32_t> sequences) const;
  Status next(std::span<const int32_t> ids, std::span<const int32_t> sequences, const std::atomic<bool>& abort,
              std::vector<float>* logits);
  Status logits(const Batch& batch, const std::atomic<bool>& abort, std::vector<float>* out);

 private:
  static Status plan(std::shared_ptr<const BaseWeights> base, SessionOptions options, std::unique_ptr<Session>* out);
  // Calls pass(first row, segments) for runs of whole examples of at most rows_per_pass rows.
  template <class Pass>
  Status for_passes(const Batch& batch, const Pass& pass);
  void optimize(const StepOptions& options, double gradient_norm);
  // The strategy's terms on top of the data's gradient, and its norm again.
  Status add_local_terms(const StepOptions& options, StepResult* out);

  std::shared_ptr<const BaseWeights> base_;
  SessionOptions options_;
  std::unique_ptr<Parameters> parameters_;

  std::unique_ptr<CpuBackend> backend_;
  std::unique_ptr<ProfiledBackend> profiled_;
  std::unique_ptr<Decoder> decoder_;
  KvCache cache_;
  std::vector<Segment> segments_;
  std::vector<double> row_losses_;
  std::vector<float> anchor_, correction_;
  MemoryBudget budget_;
};

}  // namespace oneround
