// Products with operands rounded to bf16 and sums in f32; only where the set has VDPBF16PS. Two depths k, k + 1 of one
// row or column lie together in 32 bits, the lower one in the low half; an odd depth is filled with 0.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace oneround::ONEROUND_ISA {

// c[i,j] (+)= scale * sum over parts of sum_k a[i,k] b[k,j], in one chain; each part's a packed [pairs][rows], its b
// [pairs][vectors * vector_width]
void bf16_tile(int count, const TilePart* parts, int rows, int vectors, float* c, int64_t c_stride, int m, int n,
               float scale, bool accumulate, Lines asked);
// out[k/2][i] = a[i,k], a[i,k+1] for i < m, 0 for m <= i < rows
void bf16_pack_left(const float* a, int64_t row_step, int64_t k_step, int m, int rows, int64_t count, uint32_t* out);
// out[k/2][j] = row_j[first + k], row_j[first + k + 1]; 0 for j >= n
void bf16_pack_rows_as_columns(int type, const uint8_t* const* rows, int n, int64_t first, int64_t count, int width,
                               uint32_t* out);
// out[k/2][j] = row_k[first + j], row_{k+1}[first + j]; 0 for j >= n
void bf16_pack_rows(int type, const uint8_t* const* rows, int64_t count, int64_t first, int n, int width,
                    uint32_t* out);

}  // namespace oneround::ONEROUND_ISA
