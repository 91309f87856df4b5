// What ops see of memory: a row-major matrix that somebody else owns.
#pragma once

#include <cstdint>

namespace oneround {

// f32 and i32 are computed with; the others are storage types of base weights.
enum class Type : int32_t { f32, f16, bf16, q4_1, q8_0, i32, q4_0, q5_0, q5_1, q2_k, q3_k, q4_k, q5_k, q6_k };

// Elements a storage block holds, and its bytes. Blocks lie along a row.
constexpr int64_t block_elements(Type type) {
  if (type >= Type::q2_k) return 256;
  return type == Type::q4_1 || type == Type::q8_0 || type >= Type::q4_0 ? 32 : 1;
}
constexpr int64_t block_bytes(Type type) {
  switch (type) {
    case Type::f32:
    case Type::i32:
      return 4;
    case Type::f16:
    case Type::bf16:
      return 2;
    case Type::q4_0:
      return 18;
    case Type::q4_1:
      return 20;
    case Type::q5_0:
      return 22;
    case Type::q5_1:
      return 24;
    case Type::q8_0:
      return 34;
    case Type::q2_k:
      return 84;
    case Type::q3_k:
      return 110;
    case Type::q4_k:
      return 144;
    case Type::q5_k:
      return 176;
    case Type::q6_k:
      return 210;
  }
  return 0;
}
constexpr int64_t row_bytes(Type type, int64_t cols) { return cols / block_elements(type) * block_bytes(type); }

// An f32 activation, gradient or parameter: [rows, cols], rows `stride` elements apart.
struct Matrix {
  float* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  float* row(int64_t r) const { return data + r * stride; }
  Matrix slice_rows(int64_t first, int64_t count) const { return {data + first * stride, count, cols, stride}; }
  Matrix slice_cols(int64_t first, int64_t count) const { return {data + first, rows, count, stride}; }
};
inline Matrix matrix(float* data, int64_t rows, int64_t cols) { return {data, rows, cols, cols}; }

// A weight as its file holds it: [rows, cols], any alignment, never written.
// transposed: the file holds [in, out] (GPT-2's Conv1D) instead of [out, in].
// exact: a product with it is computed in f32 even where the backend rounds to bf16 (what training moves is far smaller
// than a weight's last bit there).
// interleaved_heads != 0: the file's row (h, i, p) is row (h, p, i) of [heads, 2, rows / heads / 2].
struct Weight {
  const void* data = nullptr;
  Type type = Type::f32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t interleaved_heads = 0;
  bool transposed = false;
  bool exact = false;

  int64_t in() const { return transposed ? rows : cols; }
  int64_t out() const { return transposed ? cols : rows; }

  // The place in the file of a row counted in Hugging Face's order.
  int64_t file_row(int64_t row) const {
    if (interleaved_heads == 0) return row;
    const int64_t head_dim = rows / interleaved_heads, half = head_dim / 2;
    const int64_t h = row / head_dim, p = row % head_dim / half, i = row % half;
    return h * head_dim + 2 * i + p;
  }
  const uint8_t* row(int64_t r) const {
    return static_cast<const uint8_t*>(data) + file_row(r) * row_bytes(type, cols);
  }
};
inline Weight weight_of(const Matrix& m) {
  return {m.data, Type::f32, m.rows, m.cols, 0, false, false};
}  // m.stride == m.cols

// Rows of one example. Sums over rows are taken segment by segment.
// Forward only: a segment may go on from another one, its parent, so that a prompt that several texts share is computed
// once. Its rows then stand at positions start, start + 1, .. and see the rows of all segments above it. Segments lie
// in the order of a walk through the tree: a segment's descendants follow it at once.
struct Segment {
  int64_t first = 0;
  int64_t count = 0;
  uint32_t dropout_counter = 0;
  int64_t start = 0;    // rows of the segments above it
  int64_t parent = -1;  // its place in the list; -1: a text of its own
};
constexpr int64_t kMostAbove = 16;  // segments above one
struct Segments {
  const Segment* data = nullptr;
  int64_t count = 0;
};

// Consecutive rows that one client's factors apply to. Groups follow one another and cover all rows.
struct RowGroup {
  int64_t first = 0;
  int64_t count = 0;
};
struct RowGroups {
  const RowGroup* data = nullptr;  // null: all rows are one group
  int64_t count = 1;
};

}  // namespace oneround
