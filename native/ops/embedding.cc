#include <cstring>

#include "ops/cpu_context.h"
#include "ops/entries.h"

namespace oneround::ops {

void embed(void* self, const int32_t* ids, const Weight& table, const Matrix& y) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(y.rows, 16, [&](int64_t first, int64_t count, int) {
    for (int64_t m = first; m < first + count; m++)
      context.kernels.dequantize(static_cast<int>(table.type), table.row(ids[m]), 0, table.cols, y.row(m));
  });
}

// Each worker owns some columns and walks all rows in order, so that a token's sum has one order.
void embed_backward(void* self, const int32_t* ids, const Matrix& d_y, const Matrix& d_table) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(d_y.cols, 64, [&](int64_t first, int64_t count, int) {
    for (int64_t m = 0; m < d_y.rows; m++) context.kernels.add(d_y.row(m) + first, count, d_table.row(ids[m]) + first);
  });
}

void gather_rows(void*, const Matrix& x, const int32_t* rows, const Matrix& y) {
  for (int64_t i = 0; i < y.rows; i++)
    std::memcpy(y.row(i), x.row(rows[i]), static_cast<size_t>(y.cols) * sizeof(float));
}

void scatter_rows(void*, const Matrix& x, const int32_t* rows, const Matrix& y) {
  for (int64_t i = 0; i < x.rows; i++)
    std::memcpy(y.row(rows[i]), x.row(i), static_cast<size_t>(x.cols) * sizeof(float));
}

}  // namespace oneround::ops
