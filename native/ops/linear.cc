#include "ops/entries.h"
#include "ops/matmul.h"

namespace oneround::ops {

void linear(void* self, const Matrix& x, const Weight& w, const Matrix& y, float scale, bool accumulate) {
  CpuContext& context = cpu(self);
  multiply(context,
           {x.rows, w.out(), x.data, x.stride, 1, w.transposed ? rows_of(w) : columns_of(w), y.data, y.stride, scale,
            accumulate},
           blocks_over(context, w.in()));
}

void linear_d_x(void* self, const Matrix& d_y, const Weight& w, const Matrix& d_x, float scale, bool accumulate) {
  CpuContext& context = cpu(self);
  multiply(context,
           {d_y.rows, w.in(), d_y.data, d_y.stride, 1, w.transposed ? columns_of(w) : rows_of(w), d_x.data, d_x.stride,
            scale, accumulate},
           blocks_over(context, w.out()));
}

void linear_d_w(void* self, const Matrix& d_y, const Matrix& x, const Matrix& d_w, float scale, Segments segments) {
  CpuContext& context = cpu(self);
  multiply(context, {d_y.cols, x.cols, d_y.data, 1, d_y.stride, rows_of(x), d_w.data, d_w.stride, scale, true},
           blocks_over(context, segments));
}

}  // namespace oneround::ops
