// The tile of f32 products: one FMA chain over k per element.
#include "kernels/kernel_set.h"
#include "kernels/register_tile.h"

namespace oneround::ONEROUND_ISA {

namespace {

template <int rows, int vectors>
void any_layout(int64_t count, const float* a, int64_t row_step, int64_t k_step, const float* b, float* c,
                int64_t c_stride, int m, int n, float scale, bool accumulate) {
  const TilePart part{count, a, b};
  const auto run = row_step == 1 && k_step == rows ? register_tile<FloatStep, rows, vectors, Layout::packed>
                   : k_step == 1                   ? register_tile<FloatStep, rows, vectors, Layout::row_major>
                                                   : register_tile<FloatStep, rows, vectors, Layout::column_major>;
  run(1, &part, row_step, k_step, c, c_stride, m, n, scale, accumulate, {});
}

}  // namespace

void packed_tile(int count, const TilePart* parts, int rows, int vectors, float* c, int64_t c_stride, int m, int n,
                 float scale, bool accumulate, Lines asked) {
  any_packed_tile<FloatStep>(count, parts, rows, vectors, c, c_stride, m, n, scale, accumulate, asked);
}

// Unpacked layouts read `rows` rows: the caller packs where fewer are there.
void tile(int64_t count, const float* a, int64_t row_step, int64_t k_step, int rows, const float* b, int vectors,
          float* c, int64_t c_stride, int m, int n, float scale, bool accumulate) {
  const auto run = rows == kTileRows ? (vectors == 2 ? any_layout<kTileRows, 2> : any_layout<kTileRows, 1>)
                                     : (vectors == 2 ? any_layout<kShortRows, 2> : any_layout<kShortRows, 1>);
  run(count, a, row_step, k_step, b, c, c_stride, m, n, scale, accumulate);
}

}  // namespace oneround::ONEROUND_ISA
