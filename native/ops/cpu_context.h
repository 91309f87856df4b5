// What every CPU operation works with: the kernels of one instruction set, a pool, and scratch taken beforehand.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/arena.h"
#include "engine/backend.h"
#include "engine/thread_pool.h"
#include "kernels/kernels.h"

namespace oneround {

// Most 32-bit units of a block of a product's inner dimension: one f32, or a pair of bf16. Part of the arithmetic: a
// sum over k is a chain within a block and blocks are added in order, so it must never depend on threads, caches or
// batching. Neighbouring blocks of pairs that have room in one chain (a small layer and its factors) are one.
constexpr int64_t kDepth = 256;
constexpr int64_t kPairs = 320;
// Units of the blocks that are packed together, rows packed together, and panels of a column chunk: layout only.
constexpr int64_t kGroupDepth = 2048;
constexpr int64_t kGroupRows = 1176;  // a multiple of every tile height, and more than the 1024 of many a batch
constexpr int64_t kChunkPanels = 4;
constexpr int64_t kQueryBlock = 64;

// A block of depth of one left operand, and where it lies once it is packed.
struct PackedBlock {
  int left;
  int64_t first;
  int64_t count;
  int64_t units_before;
};

// A product's second operand as rows in memory: either row j is column j of b (a weight [N,K], b = w'), or row k is row
// k of b.
struct RowSource {
  const uint8_t* base;
  int type;
  int64_t row_bytes;
  const Weight* order;  // null: rows lie in order
  bool rows_are_columns;

  const uint8_t* row(int64_t r) const { return base + (order == nullptr ? r : order->file_row(r)) * row_bytes; }
};

// Rows of a tile's height, of one group of rows, and where they lie once they are packed.
struct RowPanel {
  int64_t first;
  int64_t packed;
  int height;
  int rows;  // the rest of the height is padding
  int group;
};

struct WorkerScratch {
  float* b = nullptr;          // kChunkPanels packed panels of a block or a chain
  float* converted = nullptr;  // rows of one panel before transposition
  float* a_edge = nullptr;     // a packed row panel that has fewer rows than a tile
  float* attention = nullptr;
};

struct CpuContext {
  CpuContext(const Kernels& chosen, bool in_bf16, int threads) : kernels(chosen), bf16(in_bf16), pool(threads) {}

  const Kernels& kernels;
  const bool bf16;  // products whose weight is not marked exact
  ThreadPool pool;
  Arena arena;
  float* packed_a = nullptr;
  float* row_sums = nullptr;  // linear_row_each: sums of 32 inputs each
  std::vector<WorkerScratch> scratch;
  std::vector<PackedBlock> blocks;
  std::vector<RowPanel> row_panels;
  std::vector<RowSource> row_sources;  // factors of each group of rows

  int64_t width() const { return 2 * kernels.vector_width; }
  int64_t panels(int64_t columns) const { return (columns + width() - 1) / width(); }

  // Takes all scratch for calls within these bounds from the arena (which may only be counting).
  void lay_out(Arena* from, int64_t max_rows, int64_t max_cols, int64_t longest_segment, AttentionShape shape);

  // Calls body(first, count, worker) for blocks of rows.
  template <class Body>
  void for_row_blocks(int64_t rows, int64_t block, const Body& body) {
    pool.for_each((rows + block - 1) / block, [&](int64_t i, int worker) {
      const int64_t first = i * block;
      body(first, std::min(block, rows - first), worker);
    });
  }
};

// Floats of attention scratch for one worker.
int64_t attention_scratch(const CpuContext& context, int64_t longest_segment, AttentionShape shape);

inline CpuContext& cpu(void* self) { return *static_cast<CpuContext*>(self); }

}  // namespace oneround
