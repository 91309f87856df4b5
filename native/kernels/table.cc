#include "kernels/bf16.h"
#include "kernels/double_vector.h"
#include "kernels/kernel_set.h"
#include "kernels/kernels.h"
#include "kernels/vector.h"

#define ONEROUND_TEXT_OF(x) #x
#define ONEROUND_TEXT(x) ONEROUND_TEXT_OF(x)
#define ONEROUND_JOIN_OF(a, b) a##b
#define ONEROUND_JOIN(a, b) ONEROUND_JOIN_OF(a, b)

namespace oneround {

const Kernels* ONEROUND_JOIN(kernels_, ONEROUND_ISA)() {
  using namespace ONEROUND_ISA;
  static const Kernels table = {
    ONEROUND_TEXT(ONEROUND_ISA),
    kTileRows,
    kShortRows,
    kWidth,
    ONEROUND_ISA::packed_tile,
    ONEROUND_ISA::tile,
    ONEROUND_ISA::pack_a,
    ONEROUND_ISA::pack_rows_as_columns,
    ONEROUND_ISA::pack_rows,
    ONEROUND_ISA::dequantize,
#if defined(ONEROUND_ISA_BF16)
    ONEROUND_ISA::bf16_tile,
    ONEROUND_ISA::bf16_pack_left,
    ONEROUND_ISA::bf16_pack_rows_as_columns,
    ONEROUND_ISA::bf16_pack_rows,
#else
    nullptr,
    nullptr,
    nullptr,
    nullptr,
#endif
    ONEROUND_ISA::rms_norm,
    ONEROUND_ISA::rms_norm_again,
    ONEROUND_ISA::rms_norm_backward,
    ONEROUND_ISA::layer_norm,
    ONEROUND_ISA::layer_norm_again,
    ONEROUND_ISA::layer_norm_backward,
    ONEROUND_ISA::gelu,
    ONEROUND_ISA::gelu_backward,
    ONEROUND_ISA::swiglu,
    ONEROUND_ISA::swiglu_backward,
    ONEROUND_ISA::keep_rounded,
    ONEROUND_ISA::take_kept,
    static_cast<void (*)(const float*, int64_t, float*)>(ONEROUND_ISA::add),
    ONEROUND_ISA::multiply_add,
    ONEROUND_ISA::scale,
    ONEROUND_ISA::dot,
    ONEROUND_ISA::row_dot,
    ONEROUND_ISA::block_sums,
    ONEROUND_ISA::exponentials,
    ONEROUND_ISA::softmax_backward,
    ONEROUND_ISA::rotate,
    ONEROUND_ISA::squared_norm,
    ONEROUND_ISA::adamw,
    ONEROUND_ISA::sgd,
    kProductRows,
    kProductColumns,
    ONEROUND_ISA::product_tile,
    kGridRows,
    kGridColumns,
    ONEROUND_ISA::products_to_grid,
    ONEROUND_ISA::pack_grid_rows,
    ONEROUND_ISA::pack_widened,
    ONEROUND_ISA::scaled_longs,
    ONEROUND_ISA::add_widened,
    ONEROUND_ISA::add_widened_squares,
    ONEROUND_ISA::sum_of_squares,
    ONEROUND_ISA::double_tile,
    ONEROUND_ISA::dot_doubles,
    ONEROUND_ISA::add_scaled_doubles,
    ONEROUND_ISA::update_and_multiply,
    ONEROUND_ISA::rotate_doubles,
    ONEROUND_ISA::sturm_counts,
    ONEROUND_ISA::peak,
    ONEROUND_ISA::read_all,
  };
  return &table;
}

}  // namespace oneround
