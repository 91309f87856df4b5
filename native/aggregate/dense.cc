#include "aggregate/dense.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "aggregate/columns.h"
#include "aggregate/eigen.h"
#include "aggregate/inner_products.h"
#include "aggregate/krylov.h"
#include "aggregate/panels.h"
#include "aggregate/products.h"
#include "aggregate/svd.h"
#include "engine/scratch.h"

namespace oneround::aggregate {
namespace {

// Beyond this share of the smaller side, all directions by Jacobi cost no more than some by inverse iteration.
constexpr size_t kFew = 4;

Status aborted() { return Status::error(Code::aborted, "the aggregation was stopped", "Start it again."); }

double squared_norm(std::span<const float> values) {
  double total = 0;
  for (size_t i = 0; i < values.size(); i += 4096) {
    total +=
        kernels().sum_of_squares(values.data() + i, static_cast<int64_t>(std::min<size_t>(4096, values.size() - i)));
  }
  return total;
}

// [rows, cols] row-major -> [cols, rows]
Scratch<float> transposed(std::span<const float> values, size_t rows, size_t cols) {
  constexpr size_t kBlock = 32;
  Scratch<float> result(values.size());
  for (size_t i0 = 0; i0 < rows; i0 += kBlock) {
    for (size_t j0 = 0; j0 < cols; j0 += kBlock) {
      for (size_t i = i0; i < std::min(rows, i0 + kBlock); ++i) {
        for (size_t j = j0; j < std::min(cols, j0 + kBlock); ++j) result[j * rows + i] = values[i * cols + j];
      }
    }
  }
  return result;
}

// Smallest rank whose squared rest is at most (tolerance * norm)^2.
size_t choose_rank(const std::vector<double>& values, double total, size_t max_rank, double tolerance) {
  double rest = total;
  size_t rank = 0;
  const size_t most = std::min(max_rank, values.size());
  while (rank < most && values[rank] > kNumericRank * values[0] &&
         std::sqrt(std::max(0.0, rest)) > tolerance * std::sqrt(total)) {
    rest -= values[rank] * values[rank];
    ++rank;
  }
  return rank;
}

// Writes direction j: u of length `out`, v of length `in`, both of norm 1. B's largest entry is made positive.
void write_direction(size_t in, size_t out, size_t rank, size_t j, double value, const double* u, const double* v,
                     FactorizedSum* factors) {
  double largest = 0;
  for (size_t i = 0; i < out; ++i) {
    if (std::fabs(u[i]) > std::fabs(largest)) largest = u[i];
  }
  const double scale = std::copysign(std::sqrt(value), largest);
  for (size_t i = 0; i < out; ++i) factors->b[i * rank + j] = static_cast<float>(scale * u[i]);
  for (size_t i = 0; i < in; ++i) factors->a[j * in + i] = static_cast<float>(scale * v[i]);
}

// Directions by eigenvectors of W'W (in <= out) or WW'. `small` is the smaller side's vectors, `large` W times them.
struct Directions {
  Columns small, large;  // large is not normalised
  std::vector<double> values;
};

// W x, [rows, m], for W [rows, cols] row-major and x [cols, m].
Columns products_with(std::span<const float> w, size_t rows, const Columns& x) {
  const size_t cols = x.rows, step = 4 * static_cast<size_t>(kernels().product_columns);
  Panels turned(cols, step);
  Columns result = Columns::undefined(rows, x.cols);
  Scratch<double> row(cols);
  for (size_t first = 0; first < rows; first += step) {
    const size_t count = std::min(step, rows - first);
    for (size_t i = 0; i < count; ++i) {
      std::copy_n(w.data() + (first + i) * cols, cols, row.data());
      turned.set_column(i, row.data());
    }
    Columns some = Columns::undefined(count, x.cols);
    multiply_transposed(turned, x, cols, &some);
    for (size_t j = 0; j < x.cols; ++j) std::copy_n(some.col(j), count, result.col(j) + first);
  }
  return result;
}

Columns whole(const Panels& symmetric) {
  Columns result = Columns::undefined(symmetric.depth(), symmetric.depth());
  for (size_t j = 0; j < result.cols; ++j) {
    for (size_t i = 0; i < result.rows; ++i) result.at(i, j) = symmetric.at(i, j);
  }
  return result;
}

Status few_directions(std::span<const float> tall, size_t rows, size_t cols, size_t count, Directions* d,
                      const std::atomic<bool>& abort) {
  Panels gram(cols, cols);
  if (!column_gram(tall, rows, cols, &gram, abort)) return aborted();
  std::vector<double> squares;
  bool found = false;
  Status status = krylov_eigenpairs(gram, count, &found, &squares, &d->small, abort);
  if (status.is_ok() && !found) status = largest_eigenpairs(whole(gram), count, &squares, &d->small, abort);
  if (!status.is_ok()) return status;
  d->large = products_with(tall, rows, d->small);
  d->values.resize(d->small.cols);
  for (size_t j = 0; j < d->small.cols; ++j) {
    d->values[j] = std::sqrt(dot(d->large.col(j), d->large.col(j), rows));
    if (d->values[j] > 0) {
      for (size_t i = 0; i < rows; ++i) d->large.at(i, j) /= d->values[j];
    }
  }
  return Status::ok();
}

Status all_directions(std::span<const float> tall, size_t rows, size_t cols, Directions* d,
                      const std::atomic<bool>& abort) {
  Columns matrix(rows, cols);
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < cols; ++j) matrix.at(i, j) = static_cast<double>(tall[i * cols + j]);
  }
  Svd full;
  const Status status = svd(std::move(matrix), &full, abort);
  if (!status.is_ok()) return status;
  d->values.assign(full.values.begin(), full.values.begin() + static_cast<std::ptrdiff_t>(full.left.cols));
  d->large = std::move(full.left);
  d->small = std::move(full.right);
  return Status::ok();
}

}  // namespace

Status dense_sum(size_t in, size_t out, std::span<const Factors> factors, std::span<const float> dense,
                 double dense_weight, std::vector<float>* values, double* squared, const std::atomic<bool>& abort) {
  const Status status = check_factors(in, out, factors);
  if (!status.is_ok()) return status;
  std::vector<PackedRows> packed;
  packed.reserve(factors.size());
  for (const Factors& f : factors) packed.emplace_back(in, f.rank, f.a.data());
  const size_t rows = static_cast<size_t>(kernels().product_rows);
  values->resize(in * out);
  std::vector<double> block(rows * in), row_squares(out, 0.0);
  for (size_t first = 0; first < out; first += rows) {
    if (abort.load(std::memory_order_relaxed)) return aborted();
    const size_t count = std::min(rows, out - first);
    std::fill(block.begin(), block.end(), 0.0);
    for (size_t f = 0; f < factors.size(); ++f) {
      each_product_row(in, factors[f], packed[f], first, count,
                       [&](size_t i, size_t column, size_t n, const double* sums) {
                         axpy(factors[f].weight, sums, block.data() + i * in + column, n);
                       });
    }
    for (size_t i = 0; i < count; ++i) {
      double* row = block.data() + i * in;
      if (!dense.empty()) {
        kernels().add_widened(dense.data() + (first + i) * in, dense_weight, static_cast<int64_t>(in), row);
      }
      row_squares[first + i] = dot(row, row, in);
      float* target = values->data() + (first + i) * in;
      for (size_t j = 0; j < in; ++j) target[j] = static_cast<float>(row[j]);
    }
  }
  *squared = 0;
  for (double square : row_squares) *squared += square;
  return Status::ok();
}

Status factorize_dense(size_t in, size_t out, std::span<const float> values, size_t max_rank, double tolerance,
                       FactorizedDense* result, const std::atomic<bool>& abort) {
  if (!is_wide(in, out)) return factorize_tall(in, out, values, max_rank, tolerance, result, abort);
  return factorize_tall(in, out, transposed(values, out, in), max_rank, tolerance, result, abort);
}

Status factorize_tall(size_t in, size_t out, std::span<const float> tall, size_t max_rank, double tolerance,
                      FactorizedDense* result, const std::atomic<bool>& abort) {
  const double total = squared_norm(tall);
  // Squares of f32 numbers do not overflow in double: their sum is finite exactly where all of them are.
  if (!std::isfinite(total))
    return Status::error(Code::numeric, "the sum holds a value that is not finite", "Check the updates.");
  result->norm = std::sqrt(total);
  if (total == 0) return Status::ok();
  const bool wide = is_wide(in, out);
  const size_t rows = std::max(in, out), cols = std::min(in, out);
  const size_t count = std::min(max_rank, cols);
  Directions d;
  const Status status = count <= cols / kFew ? few_directions(tall, rows, cols, count, &d, abort)
                                             : all_directions(tall, rows, cols, &d, abort);
  if (!status.is_ok()) return status;

  const size_t rank = choose_rank(d.values, total, max_rank, tolerance);
  FactorizedSum& f = result->factors;
  f.rank = rank;
  f.a.assign(rank * in, 0.0f);
  f.b.assign(out * rank, 0.0f);
  double rest = total;
  for (size_t j = 0; j < rank; ++j) {
    const double* small = d.small.col(j);
    const double* large = d.large.col(j);
    write_direction(in, out, rank, j, d.values[j], wide ? small : large, wide ? large : small, &f);
    rest -= d.values[j] * d.values[j];
  }
  // Below the rounding of these squares there is nothing to tell.
  result->lost = rest > total * 1e-15 ? std::sqrt(rest) : 0;
  f.singular_values = std::move(d.values);
  return Status::ok();
}

}  // namespace oneround::aggregate
