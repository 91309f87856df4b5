// Sums over rows, column by column: within a segment in row order, then over segments in their order.
#pragma once

#include "ops/cpu_context.h"

namespace oneround {

// to[c] += sum over segments of (sum over the segment's rows of term(m, c))
template <class Term>
void add_column_sums(CpuContext& context, int64_t cols, Segments segments, float* to, const Term& term) {
  constexpr int64_t kColumns = 64;
  context.for_row_blocks(cols, kColumns, [&](int64_t first, int64_t count, int) {
    for (int64_t s = 0; s < segments.count; s++) {
      float sum[kColumns] = {};
      const Segment& segment = segments.data[s];
      for (int64_t m = segment.first; m < segment.first + segment.count; m++)
        for (int64_t c = 0; c < count; c++) sum[c] += term(m, first + c);
      for (int64_t c = 0; c < count; c++) to[first + c] += sum[c];
    }
  });
}

}  // namespace oneround
