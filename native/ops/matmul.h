// c[i,j] (+)= sum over terms of scale * sum_k a[i,k] b[k,j], with b read from any storage type.
#pragma once

#include <span>

#include "ops/cpu_context.h"

namespace oneround {

RowSource columns_of(const Weight& w);  // b = w'
RowSource rows_of(const Weight& w);     // b = w
RowSource columns_of(const Matrix& m);
RowSource rows_of(const Matrix& m);

// A first operand [m, depth]; one of its steps is 1. It is packed once for all outputs that use it. The sum over k runs
// through blocks of even size, over [0, depth) or over each segment from its own start; small blocks of bf16 operands
// that one output takes one after another are one chain.
struct Left {
  const float* a;
  int64_t row_step, k_step;
  int64_t depth;
  Segments segments;  // data null: the whole depth
  bool bf16;          // operands rounded to bf16, sums in f32
};

struct Right {
  int left;  // index into the list of left operands
  RowSource b;
  float scale;
  const RowSource* each = nullptr;  // where groups of rows have their own: one a group, instead of b
};

// The rights' terms are added in the order of their left operands.
constexpr int kMostRights = 8;
struct Output {
  int64_t n;
  float* c;
  int64_t c_stride;
  bool accumulate;
  bool c_transposed;  // c[j,i] instead of c[i,j]
  int right_count;
  Right rights[kMostRights];
};

class RowsAhead;

void multiply(CpuContext& context, int64_t m, std::span<const Left> lefts, std::span<const Output> outputs);

// First `inner` from the first `ready` left operands, then `outer` from all; the others may be what `inner` made.
// `groups` of rows are what Right::each speaks of.
void multiply_through(CpuContext& context, int64_t m, std::span<const Left> lefts, size_t ready,
                      std::span<const Output> inner, std::span<const Output> outer, RowGroups groups);

// What of a causal product need not be multiplied, the query of row 0 (from_row: of depth 0) being key `first`'s own.
struct Causal {
  enum class Cut {
    none,
    columns,   // c[i,j] is unwanted for j > first + i
    to_row,    // a[i,k] is 0 for k > first + i
    from_row,  // a[i,k] is 0 for first + k < i
  };
  Cut cut = Cut::none;
  int64_t first = 0;
};

// Products inside one worker, of f32 operands: in f32, or rounded to bf16.
struct WorkerProducts {
  const CpuContext& context;
  const WorkerScratch& scratch;
  bool bf16;
  RowsAhead* ahead = nullptr;  // what bf16 tiles ask for

  // 32-bit units of a packed depth: one f32, or two bf16.
  int64_t units(int64_t depth) const { return bf16 ? (depth + 1) / 2 : depth; }

  // One panel of b: row j as its column j, depths [first, first + count); or row k as its depth k.
  void pack_rows_as_columns(const uint8_t* const* rows, int n, int64_t first, int64_t count, float* out) const;
  void pack_rows(const uint8_t* const* rows, int64_t count, int64_t first_column, int n, float* out) const;

  // Rows [first, first + count) x columns [0, n) of b: panel p at out + p * width * units(count).
  void pack_panels(const RowSource& b, int64_t first, int64_t count, int64_t first_column, int64_t n, float* out) const;

  // c (+)= scale * a b for a b packed with `packed_count` rows, of which the first `count` are used. One step of a
  // is 1. What `causal` says is left out tile by tile.
  void multiply(int64_t m, int64_t n, int64_t count, const float* a, int64_t a_row_step, int64_t a_k_step,
                const float* packed, int64_t packed_count, float* c, int64_t c_stride, float scale, bool accumulate,
                Causal causal = {}) const;
};

}  // namespace oneround
