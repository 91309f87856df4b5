#include "engine/random.h"
#include "ops/cpu_context.h"
#include "ops/entries.h"

namespace oneround::ops {

void dropout(void* self, const Matrix& x, const Matrix& y, Dropout dropout, Segments segments, bool accumulate) {
  CpuContext& context = cpu(self);
  const float keep = 1.0f / (1.0f - dropout.rate);
  const auto one_row = [&](const Segment& segment, int64_t t) {
    const float* in = x.row(segment.first + t);
    float* out = y.row(segment.first + t);
    for (int64_t c = 0; c < x.cols; c += 4) {
      const PhiloxBlock bits =
          philox({segment.dropout_counter, static_cast<uint32_t>(t), static_cast<uint32_t>(c / 4), 0}, dropout.seed,
                 dropout.layer);
      for (int64_t j = c; j < std::min(c + 4, x.cols); j++) {
        const float kept = uniform_of(bits[static_cast<size_t>(j - c)]) < dropout.rate ? 0.0f : in[j] * keep;
        out[j] = accumulate ? out[j] + kept : kept;
      }
    }
  };
  context.pool.for_each(segments.count, [&](int64_t s, int) {
    for (int64_t t = 0; t < segments.data[s].count; t++) one_row(segments.data[s], t);
  });
}

}  // namespace oneround::ops
