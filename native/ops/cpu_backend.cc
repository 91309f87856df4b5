#include "ops/cpu_backend.h"

#include <cstdlib>

#include "ops/cpu_context.h"
#include "ops/entries.h"

namespace oneround {

void CpuContext::lay_out(Arena* from, int64_t max_rows, int64_t max_cols, int64_t longest_segment,
                         AttentionShape shape) {
  const int64_t tile_rows = kernels.tile_rows;
  packed_a = from->take<float>(kGroupRows * kGroupDepth);
  row_sums = from->take<float>(kRowProducts * (max_cols / 32));
  scratch.resize(static_cast<size_t>(pool.threads()));
  const int64_t deepest = std::max({kDepth, longest_segment, shape.head_dim});
  for (WorkerScratch& mine : scratch) {
    mine.b = from->take<float>(kChunkPanels * width() * kPairs);
    mine.converted = from->take<float>(width() * std::max(kDepth, shape.head_dim));
    mine.a_edge = from->take<float>(tile_rows * deepest);
    mine.attention = from->take<float>(attention_scratch(*this, longest_segment, shape));
  }
  // One block a row at most when every segment is one row long, or blocks of kDepth over the widest layer.
  blocks.reserve(static_cast<size_t>(max_rows + 2 * kMostParts * (max_cols / kDepth + 2)));
  row_panels.reserve(static_cast<size_t>(kGroupRows / kernels.short_rows + 1));
  row_sources.reserve(static_cast<size_t>(2 * kMostParts * max_rows));
}

namespace {

class Cpu final : public CpuBackend {
 public:
  Cpu(const Kernels& kernels, bool bf16, int threads) : context_(kernels, bf16, threads) {
    table_.self = &context_;
    table_.scratch_bytes = scratch_bytes;
    table_.embed = ops::embed;
    table_.embed_backward = ops::embed_backward;
    table_.rms_norm = ops::rms_norm;
    table_.rms_norm_again = ops::rms_norm_again;
    table_.rms_norm_backward = ops::rms_norm_backward;
    table_.layer_norm = ops::layer_norm;
    table_.layer_norm_again = ops::layer_norm_again;
    table_.layer_norm_backward = ops::layer_norm_backward;
    table_.add_bias = ops::add_bias;
    table_.bias_backward = ops::bias_backward;
    table_.gelu = ops::gelu;
    table_.gelu_backward = ops::gelu_backward;
    table_.linear = ops::linear;
    table_.linear_d_x = ops::linear_d_x;
    table_.linear_d_w = ops::linear_d_w;
    table_.linear_parts = ops::linear_parts;
    table_.linear_parts_d_x = ops::linear_parts_d_x;
    table_.linear_row = ops::linear_row;
    table_.linear_row_each = ops::linear_row_each;
    table_.rope = ops::rope;
    table_.attention = ops::attention;
    table_.attention_row = ops::attention_row;
    table_.attention_backward = ops::attention_backward;
    table_.keep_rounded = ops::keep_rounded;
    table_.take_kept = ops::take_kept;
    table_.swiglu_keep = ops::swiglu_keep;
    table_.swiglu_kept = ops::swiglu_kept;
    table_.swiglu_kept_backward = ops::swiglu_kept_backward;
    table_.swiglu = ops::swiglu;
    table_.swiglu_backward = ops::swiglu_backward;
    table_.dropout = ops::dropout;
    table_.copy = ops::copy;
    table_.add = ops::add;
    table_.gather_rows = ops::gather_rows;
    table_.scatter_rows = ops::scatter_rows;
    table_.cross_entropy = ops::cross_entropy;
    table_.squared_norm = ops::squared_norm;
    table_.adamw = ops::adamw;
    table_.sgd = ops::sgd;
    table_.fill_zero = ops::fill_zero;
  }

  const Backend& table() const override { return table_; }

  bool reserve(int64_t max_rows, int64_t max_cols, int64_t longest_segment, AttentionShape shape) override {
    if (!context_.arena.reserve(scratch_bytes(&context_, max_rows, max_cols, longest_segment, shape))) return false;
    context_.lay_out(&context_.arena, max_rows, max_cols, longest_segment, shape);
    return true;
  }

 private:
  static int64_t scratch_bytes(void* self, int64_t max_rows, int64_t max_cols, int64_t longest_segment,
                               AttentionShape shape) {
    CpuContext& context = cpu(self);
    const std::vector<WorkerScratch> kept = context.scratch;
    float *const kept_a = context.packed_a, *const kept_sums = context.row_sums;
    Arena counting;
    context.lay_out(&counting, max_rows, max_cols, longest_segment, shape);
    context.scratch = kept;
    context.packed_a = kept_a;
    context.row_sums = kept_sums;
    return counting.used();
  }

  CpuContext context_;
  Backend table_;
};

}  // namespace

namespace {

const Kernels* chosen_kernels(const char* isa) {
  const char* forced = isa != nullptr ? isa : std::getenv("ONEROUND_ISA");
  return select_kernels(forced != nullptr && forced[0] != '\0' ? forced : nullptr);
}

}  // namespace

bool CpuBackend::has_bf16(const char* isa) {
  const Kernels* kernels = chosen_kernels(isa);
  return kernels != nullptr && kernels->bf16_tile != nullptr;
}

std::unique_ptr<CpuBackend> CpuBackend::create(int threads, const char* isa, Compute compute) {
  const Kernels* kernels = chosen_kernels(isa);
  if (kernels == nullptr || threads < 1) return nullptr;
  const bool bf16 = compute == Compute::bf16;
  if (bf16 && kernels->bf16_tile == nullptr) return nullptr;
  return std::make_unique<Cpu>(*kernels, bf16, threads);
}

}  // namespace oneround
