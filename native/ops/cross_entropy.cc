#include "engine/elementary.h"
#include "ops/cpu_context.h"
#include "ops/entries.h"

namespace oneround::ops {

void cross_entropy(void* self, const Matrix& logits, const int32_t* labels, float d_loss, double* losses) {
  CpuContext& context = cpu(self);
  context.for_row_blocks(logits.rows, 4, [&](int64_t first, int64_t count, int) {
    for (int64_t m = first; m < first + count; m++) {
      float* row = logits.row(m);
      const int32_t label = labels[m];
      const double chosen = row[label];
      float maximum;
      const float sum = context.kernels.exponentials(row, logits.cols, &maximum);
      losses[m] = logarithm(sum) + maximum - chosen;
      if (d_loss == 0.0f) continue;
      context.kernels.scale(d_loss / sum, logits.cols, row);
      row[label] -= d_loss;
    }
  });
}

}  // namespace oneround::ops
