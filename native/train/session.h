// Training or scoring of one client: its parameters and optimizer state, and the buffers and threads that it may share
// with sessions beside it. One job at a time for all that share.
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
  int64_t clients = 1;  // most sessions that step together; the budget counts the parameters of all
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

class Session;

// One session's part of a step that several take together.
struct SessionStep {
  Session* session = nullptr;
  const Batch* batch = nullptr;
  StepOptions options;
  StepResult result;
};

class Session {
 public:
  static Status create(std::shared_ptr<const BaseWeights> base, SessionOptions options, std::unique_ptr<Session>* out);
  // What create() would take, without taking it.
  static Status budget_of(std::shared_ptr<const BaseWeights> base, SessionOptions options, MemoryBudget* out);

  // Another client's session over the same base, overlay, buffers and threads, with parameters (zero) and optimizer
  // state of its own. Refused where whole tensors train: their products cannot be shared.
  Status beside(std::unique_ptr<Session>* out) const;
  bool is_beside(const Session& other) const { return shared_ == other.shared_; }

  const MemoryBudget& budget() const { return shared_->budget; }
  Compute compute() const { return shared_->options.compute; }
  // Operations since the last call; empty where nothing is measured.
  std::vector<OperationProfile> take_profile();
  Parameters& parameters() { return *parameters_; }
  const Parameters& parameters() const { return *parameters_; }
  const Backend& backend() const {
    return shared_->profiled == nullptr ? shared_->backend->table() : shared_->profiled->table();
  }
  const BaseWeights& base() const { return *shared_->base; }
  void load_base();
  // Null where the session was not opened with it; else as many numbers as there are parameters.
  float* anchor() { return anchor_.empty() ? nullptr : anchor_.data(); }
  float* correction() { return correction_.empty() ? nullptr : correction_.data(); }

  // The checks that every batch must pass before a job starts.
  Status check(const Batch& batch) const;
  Status check_parents(const Batch& batch) const;
  Status step(const Batch& batch, const StepOptions& options, const std::atomic<bool>& abort, StepResult* out);
  // One step of each of several sessions beside each other, at most `clients`, each once: what is frozen is computed
  // for the examples of all at once. Each has the bits of a step alone; where one fails, none has stepped.
  static Status check_together(std::span<const SessionStep> steps);
  static Status step_together(std::span<SessionStep> steps, const std::atomic<bool>& abort);
  Status gradient(const Batch& batch, uint32_t seed, const std::atomic<bool>& abort, StepResult* out);
  // Summed loss and labelled tokens of each example.
  Status evaluate(const Batch& batch, const std::atomic<bool>& abort, std::vector<double>* losses,
                  std::vector<int32_t>* tokens);
  // sums[i] += x' x [in, in] over all rows that the layer of slot i reads, f32; null: not wanted. No dropout.
  Status check_inputs(std::span<float* const> sums, std::span<const size_t> sizes) const;
  Status inputs(const Batch& batch, std::span<float* const> sums, const std::atomic<bool>& abort);
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
  // What sessions beside each other share.
  struct Shared {
    std::shared_ptr<const BaseWeights> base;
    SessionOptions options;
    std::shared_ptr<Parameters> first;  // the decoder is bound to its slots
    std::unique_ptr<CpuBackend> backend;
    std::unique_ptr<ProfiledBackend> profiled;
    std::unique_ptr<Decoder> decoder;
    KvCache cache;
    std::vector<Segment> segments;
    std::vector<PassClient> clients;
    std::vector<RowGroup> groups;
    std::vector<double> row_losses;
    MemoryBudget budget;

    Status bind();
  };
  // Whose the examples of a batch are: up to `end`, from where the owner before ends.
  struct Owner {
    const Session* session;
    size_t end;
    const uint32_t* dropout_seed;
    float d_loss;
  };

  static Status plan(std::shared_ptr<const BaseWeights> base, SessionOptions options, std::unique_ptr<Session>* out);
  // This session's own buffers.
  Status allocate();
  // Calls run(first row, first example, first owner, pass) for runs of whole examples of at most rows_per_pass rows.
  template <class Run>
  Status for_passes(const Batch& batch, std::span<const Owner> owners, const Run& run);
  // The same for a batch of this session alone, without dropout or gradient.
  template <class Run>
  Status for_passes(const Batch& batch, const Run& run);
  // Gradients of all, each in its session's own buffer.
  static Status gradients(std::span<SessionStep> steps, const std::atomic<bool>& abort);
  void optimize(const StepOptions& options, double gradient_norm);
  // The strategy's terms on top of the data's gradient, and its norm again.
  Status add_local_terms(const StepOptions& options, StepResult* out);

  std::shared_ptr<Shared> shared_;
  std::shared_ptr<Parameters> parameters_;
  std::vector<float> anchor_, correction_;
};

}  // namespace oneround
