#include "convert/merge.h"

#include "convert/encode.h"
#include "kernels/kernels.h"

namespace oneround::convert {

namespace {

Status wrong(const std::string& found) {
  return Status::error(Code::argument, found, "Pass rows, factors and type that fit this tensor.");
}

Status check(const Weight& w, const RowsRequest& r) {
  const int64_t rows = r.transposed ? w.in() : w.out(), cols = r.transposed ? w.out() : w.in();
  if (r.first < 0 || r.count < 1 || r.first > rows - r.count) return wrong(r.tensor + " does not have these rows");
  if (!is_encodable(r.type) || cols % block_elements(r.type) != 0)
    return wrong(r.tensor + " cannot be written in this type");
  if (r.interleaved_heads < 0 ||
      (r.interleaved_heads > 0 && (r.transposed || w.transposed || rows % (2 * r.interleaved_heads) != 0)))
    return wrong(r.tensor + " does not have rows of that many heads");
  if (r.rank < 0 || static_cast<int64_t>(r.a.size()) != r.rank * w.in() ||
      static_cast<int64_t>(r.b.size()) != r.rank * w.out())
    return wrong("the factors do not have the size of " + r.tensor);
  if (!r.delta.empty() && static_cast<int64_t>(r.delta.size()) != w.in() * w.out())
    return wrong("the delta does not have the size of " + r.tensor);
  return Status::ok();
}

// The row in Hugging Face's order that stands at `row` of a matrix in llama.cpp's: (h, i, p) -> (h, p, i).
int64_t plain_row(int64_t row, int64_t rows, int64_t heads) {
  if (heads == 0) return row;
  const int64_t head_dim = rows / heads, half = head_dim / 2;
  const int64_t h = row / head_dim, i = row % head_dim / 2, p = row % 2;
  return h * head_dim + p * half + i;
}

// W's part of the written rows, [count, cols].
std::vector<float> base_rows(const Weight& w, const RowsRequest& r, const Kernels& kernels) {
  const int type = static_cast<int>(w.type);
  const int64_t cols = r.transposed ? w.out() : w.in();
  std::vector<float> values(static_cast<size_t>(r.count * cols));
  if (w.transposed == r.transposed) {
    for (int64_t i = 0; i < r.count; i++) {
      const int64_t row = plain_row(r.first + i, r.transposed ? w.in() : w.out(), r.interleaved_heads);
      kernels.dequantize(type, w.row(row), 0, cols, values.data() + i * cols);
    }
    return values;
  }
  std::vector<float> piece(static_cast<size_t>(r.count));
  for (int64_t j = 0; j < cols; j++) {
    kernels.dequantize(type, w.row(j), r.first, r.count, piece.data());
    for (int64_t i = 0; i < r.count; i++) values[static_cast<size_t>(i * cols + j)] = piece[static_cast<size_t>(i)];
  }
  return values;
}

// The change of W, row by row: left[row, k] * right[k, j] summed over k in order, plus the delta.
class Change {
 public:
  Change(const Weight& w, const RowsRequest& r) : r_(r), cols_(r.transposed ? w.out() : w.in()), in_(w.in()) {
    right_.resize(static_cast<size_t>(r.rank * cols_));
    for (int64_t k = 0; k < r.rank; k++)
      for (int64_t j = 0; j < cols_; j++)
        right_[static_cast<size_t>(k * cols_ + j)] =
            r.transposed ? r.b[static_cast<size_t>(j * r.rank + k)] : r.a[static_cast<size_t>(k * cols_ + j)];
  }

  bool empty() const { return r_.rank == 0 && r_.delta.empty(); }

  void row(int64_t row, double* out) const {
    for (int64_t j = 0; j < cols_; j++) out[j] = 0;
    for (int64_t k = 0; k < r_.rank; k++) {
      const double left =
          r_.transposed ? r_.a[static_cast<size_t>(k * in_ + row)] : r_.b[static_cast<size_t>(row * r_.rank + k)];
      const double* right = right_.data() + k * cols_;
      for (int64_t j = 0; j < cols_; j++) out[j] += left * right[j];
    }
    if (r_.rank > 0)
      for (int64_t j = 0; j < cols_; j++) out[j] *= r_.scale;
    if (r_.delta.empty()) return;
    // the delta lies as the written matrix does, or turned
    const bool turned = r_.delta_transposed != r_.transposed;
    const int64_t rows = static_cast<int64_t>(r_.delta.size()) / cols_;
    for (int64_t j = 0; j < cols_; j++)
      out[j] += r_.delta[static_cast<size_t>(turned ? j * rows + row : row * cols_ + j)];
  }

 private:
  const RowsRequest& r_;
  int64_t cols_, in_;
  std::vector<double> right_;  // [rank, cols]
};

}  // namespace

Status merge_rows(const BaseWeights& base, const RowsRequest& r, const std::atomic<bool>& abort, Rows* result) {
  const Weight* found = base.find(r.tensor);
  if (found == nullptr) return wrong("the base has no tensor " + r.tensor);
  const Weight& w = *found;
  if (Status s = check(w, r); !s.is_ok()) return s;
  const Kernels* kernels = select_kernels(nullptr);
  if (kernels == nullptr)
    return Status::error(Code::unsupported, "ONEROUND_ISA names a set that this machine lacks", "Unset ONEROUND_ISA.");
  const int64_t cols = r.transposed ? w.out() : w.in(), bytes = row_bytes(r.type, cols);
  std::vector<float> values = base_rows(w, r, *kernels);
  const Change change(w, r);
  std::vector<double> added(static_cast<size_t>(cols));
  std::vector<float> decoded(static_cast<size_t>(cols));
  result->bytes.resize(static_cast<size_t>(r.count * bytes));
  for (int64_t i = 0; i < r.count; i++) {
    if (abort.load(std::memory_order_relaxed))
      return Status::error(Code::aborted, "writing was stopped", "Start again.");
    float* x = values.data() + i * cols;
    uint8_t* out = result->bytes.data() + i * bytes;
    const int64_t row = plain_row(r.first + i, r.transposed ? w.in() : w.out(), r.interleaved_heads);
    double base_squares = 0, change_squares = 0, error_squares = 0;
    if (!change.empty()) change.row(row, added.data());
    // `added` becomes the exact sum, x the sum in f32
    for (int64_t j = 0; j < cols; j++) {
      const double weight = x[j], more = change.empty() ? 0 : added[static_cast<size_t>(j)];
      base_squares += weight * weight;
      change_squares += more * more;
      added[static_cast<size_t>(j)] = weight + more;
      x[j] = static_cast<float>(weight + more);
    }
    result->overflows += encode(r.type, x, cols, out);
    kernels->dequantize(static_cast<int>(r.type), out, 0, cols, decoded.data());
    for (int64_t j = 0; j < cols; j++) {
      const double error = decoded[static_cast<size_t>(j)] - added[static_cast<size_t>(j)];
      error_squares += error * error;
    }
    result->base += base_squares;
    result->change += change_squares;
    result->error += error_squares;
  }
  return Status::ok();
}

}  // namespace oneround::convert
