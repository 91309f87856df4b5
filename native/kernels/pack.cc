// Copies the operands of a product into the order in which the tile reads them, converting storage types on the way.
// The obvious loops are in kernels.h beside each entry.
#include <cstring>

#include "kernels/kernel_set.h"
#include "kernels/row_loops.h"
#include "kernels/storage_type.h"
#include "kernels/turn.h"

namespace oneround::ONEROUND_ISA {

namespace {

// A whole vector is stored for each depth of a narrow panel: what it writes too much, the next depth replaces.
static_assert(kWidth <= 2 * kShortRows);

// out[k * out_stride + i] = rows[i][k] for i < m, 0 for m <= i < lanes; m <= lanes <= kWidth. All depths but the last
// may write `whole` lanes.
void turn_strip(const float* const* rows, int m, int lanes, int whole, int64_t count, float* out, int64_t out_stride) {
  for (int64_t k = 0; k < count; k += kWidth) {
    const int64_t here = count - k < kWidth ? count - k : kWidth;
    Vec r[kWidth];
    for (int i = 0; i < kWidth; i++) r[i] = i < m ? get(rows[i] + k, here) : zero();
    turn_square(r);
    for (int64_t at = 0; at < here; at++) {
      const bool last = k + at + 1 == count;
      put(out + (k + at) * out_stride, r[at], last ? lanes : whole);
    }
  }
}

// out[k * width + i] = rows[i][k] for i < m, 0 for m <= i < width
void turn(const float* const* rows, int m, int width, int64_t count, float* out) {
  for (int i = 0; i < width; i += kWidth) {
    const int lanes = width - i < kWidth ? width - i : kWidth;
    turn_strip(rows + i, m > i ? m - i : 0, lanes, width > kWidth ? lanes : kWidth, count, out + i, width);
  }
}

// Depths that are converted before they are turned: 32 rows of them stay in the first-level cache.
constexpr int64_t kConverted = 64;

}  // namespace

void pack_a(const float* a, int64_t row_step, int64_t k_step, int m, int rows, int64_t count, float* out) {
  if (k_step == 1) {
    const float* source[kTileRows] = {};
    for (int i = 0; i < m; i++) source[i] = a + i * row_step;
    turn(source, m, rows, count, out);
    return;
  }
  int64_t done = 0;
  if (row_step == 1 && m == rows && k_step + m >= kWidth)
    for (; done + 1 < count; done++) store(out + done * rows, load(a + done * k_step));
  for (int64_t k = done; k < count; k++)
    for (int i = 0; i < rows; i++) out[k * rows + i] = i < m ? a[i * row_step + k * k_step] : 0.0f;
}

void pack_rows_as_columns(int type, const uint8_t* const* rows, int n, int64_t first, int64_t count, int width,
                          float* out, float* temporary) {
  const float* source[2 * kWidth] = {};
  bool direct = type == kF32;
  for (int j = 0; j < n; j++) direct = direct && reinterpret_cast<uintptr_t>(rows[j]) % 4 == 0;
  if (direct) {
    for (int j = 0; j < n; j++) source[j] = reinterpret_cast<const float*>(rows[j]) + first;
    turn(source, n, width, count, out);
    return;
  }
  // The rows that are probably packed next come while these are; nothing is read there.
  const int64_t next = n > 1 ? (rows[1] - rows[0]) * width : 0, block = short_block(type);
  for (int64_t k = 0; k < count; k += kConverted) {
    const int64_t here = count - k < kConverted ? count - k : kConverted;
    for (int j = 0; j < n; j++) {
      float* row = temporary + j * here;
      if (block > 0) __builtin_prefetch(rows[j] + next + (first + k) / 32 * block);
      dequantize(type, rows[j], first + k, here, row);
      source[j] = row;
    }
    turn(source, n, width, here, out + k * width);
  }
}

void pack_rows(int type, const uint8_t* const* rows, int64_t count, int64_t first, int n, int width, float* out,
               int64_t stride) {
  constexpr int kColumns = 128;
  float row[kColumns];
  for (int64_t k = 0; k < count; k++) {
    for (int from = 0; from < n; from += kColumns) {
      const int here = n - from < kColumns ? n - from : kColumns;
      dequantize(type, rows[k], first + from, here, row);
      for (int j = 0; j < here; j += width)
        for (int v = 0; v < width; v += kWidth) {
          const int left = here - j - v;
          const Vec x = left >= kWidth ? load(row + j + v) : left > 0 ? load_part(row + j + v, left) : zero();
          store(out + (from + j) / width * stride + k * width + v, x);
        }
    }
  }
}

}  // namespace oneround::ONEROUND_ISA
