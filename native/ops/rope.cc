#include "ops/cpu_context.h"
#include "ops/entries.h"

namespace oneround::ops {

void rope(void* self, const Matrix& x, int64_t heads, int64_t head_dim, const float* cos, const float* sin,
          float direction, Segments segments) {
  CpuContext& context = cpu(self);
  const int64_t half = head_dim / 2;
  context.pool.for_each(segments.count, [&](int64_t s, int) {
    const Segment& segment = segments.data[s];
    for (int64_t t = 0; t < segment.count; t++)
      for (int64_t h = 0; h < heads; h++)
        context.kernels.rotate(x.row(segment.first + t) + h * head_dim, cos + (segment.start + t) * half,
                               sin + (segment.start + t) * half, direction, half);
  });
}

}  // namespace oneround::ops
