// y[n] (+)= scale * sum_k x[k] w[n,k] for one row x: every weight is converted and used once.
#include "ops/cpu_context.h"
#include "ops/entries.h"

namespace oneround::ops {

namespace {

// Bytes of one task where rows of w are outputs: a stretch that lies together and is long enough for the hardware to
// prefetch it (measured: with 6 KB a task, two workers that take turns along a weight are no faster than one).
constexpr int64_t kFewestBytes = 16 << 10, kMostBytes = 256 << 10;
constexpr int64_t kTasksOfThread = 2;
constexpr int64_t kColumns = 256;  // transposed: columns of one task; whole blocks of every storage type

void store(const RowProduct& p, int64_t n, float sum) {
  p.y[n] = p.accumulate ? p.y[n] + p.scale * sum : p.scale * sum;
}

// Rows of w are outputs.
void by_rows(const Kernels& kernels, const RowProduct& p, const float* block_sums, int64_t first, int64_t count) {
  const int type = static_cast<int>(p.w.type);
  const uint8_t* data = static_cast<const uint8_t*>(p.w.data);
  const int64_t bytes = row_bytes(p.w.type, p.w.cols);
  for (int64_t n = first; n < first + count; n++)
    store(p, n, kernels.row_dot(type, data + p.w.file_row(n) * bytes, p.w.cols, p.x, block_sums));
}

// Columns of w are outputs: rows are added up, each times its input.
void by_columns(const Kernels& kernels, const RowProduct& p, int64_t first, int64_t count) {
  float sum[kColumns] = {}, converted[kColumns];
  for (int64_t k = 0; k < p.w.rows; k++) {
    kernels.dequantize(static_cast<int>(p.w.type), p.w.row(k), first, count, converted);
    kernels.multiply_add(converted, p.x[k], count, sum);
  }
  for (int64_t c = 0; c < count; c++) store(p, first + c, sum[c]);
}

bool needs_sums(const RowProduct& p) { return !p.w.transposed && (p.w.type == Type::q4_0 || p.w.type == Type::q4_1); }

struct Tasks {
  int64_t outputs[kRowProducts];  // of one task of each product
  int64_t count[kRowProducts];
  int64_t all = 0;
};

Tasks divide(const RowProduct* products, int64_t count, int threads) {
  int64_t bytes = 0;
  for (int64_t i = 0; i < count; i++) bytes += products[i].w.rows * row_bytes(products[i].w.type, products[i].w.cols);
  const int64_t task = std::clamp(bytes / (threads * kTasksOfThread), kFewestBytes, kMostBytes);
  Tasks tasks;
  for (int64_t i = 0; i < count; i++) {
    const Weight& w = products[i].w;
    tasks.outputs[i] = w.transposed ? kColumns : std::max<int64_t>(1, task / row_bytes(w.type, w.cols));
    tasks.count[i] = (w.out() + tasks.outputs[i] - 1) / tasks.outputs[i];
    tasks.all += tasks.count[i];
  }
  return tasks;
}

}  // namespace

void linear_row_each(void* self, const RowProduct* products, int64_t count) {
  CpuContext& context = cpu(self);
  // Products of one x, which stand side by side, share its sums.
  const float* block_sums[kRowProducts] = {};
  float* next = context.row_sums;
  for (int64_t i = 0; i < count; i++) {
    const RowProduct& p = products[i];
    if (!needs_sums(p)) continue;
    if (i > 0 && block_sums[i - 1] != nullptr && products[i - 1].x == p.x) {
      block_sums[i] = block_sums[i - 1];
      continue;
    }
    context.kernels.block_sums(p.x, p.w.cols, next);
    block_sums[i] = next;
    next += p.w.cols / 32;
  }
  const Tasks tasks = divide(products, count, context.pool.threads());
  context.pool.for_each(tasks.all, [&](int64_t task, int) {
    int64_t i = 0;
    for (; task >= tasks.count[i]; i++) task -= tasks.count[i];
    const RowProduct& p = products[i];
    const int64_t first = task * tasks.outputs[i], length = std::min(tasks.outputs[i], p.w.out() - first);
    if (p.w.transposed)
      by_columns(context.kernels, p, first, length);
    else
      by_rows(context.kernels, p, block_sums[i], first, length);
  });
}

void linear_row(void* self, const float* x, const Weight& w, float* y, float scale, bool accumulate) {
  const RowProduct one{x, w, y, scale, accumulate};
  linear_row_each(self, &one, 1);
}

}  // namespace oneround::ops
