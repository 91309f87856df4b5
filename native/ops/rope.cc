#include "ops/cpu_context.h"
#include "ops/entries.h"

namespace oneround::ops {

namespace {

constexpr int64_t kRows = 16;

}  // namespace

// Blocks of rows, so that one long segment keeps every thread busy.
void rope(void* self, const Matrix& x, int64_t heads, int64_t head_dim, const float* cos, const float* sin,
          float direction, Segments segments) {
  CpuContext& context = cpu(self);
  const int64_t half = head_dim / 2;
  const Segment& last = segments.data[segments.count - 1];
  context.for_row_blocks(last.first + last.count, kRows, [&](int64_t first, int64_t count, int) {
    const Segment* segment = segments.data;
    for (int64_t m = first; m < first + count; m++) {
      while (m >= segment->first + segment->count) segment++;
      const int64_t t = m - segment->first;
      if (t < 0) continue;
      for (int64_t h = 0; h < heads; h++)
        context.kernels.rotate(x.row(m) + h * head_dim, cos + (segment->start + t) * half,
                               sin + (segment->start + t) * half, direction, half);
    }
  });
}

}  // namespace oneround::ops
