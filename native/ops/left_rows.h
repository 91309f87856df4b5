// What of a product's left operands is packed together: rows as panels of tile heights, depths as blocks.
#pragma once

#include "ops/matmul.h"

namespace oneround {

// 32-bit units of some depths: one f32, or two bf16.
inline int64_t units_of(const Left& left, int64_t count) { return left.bf16 ? (count + 1) / 2 : count; }

// Rows [first_row, first_row + rows) of all operands as the panels of context.row_panels, and which blocks of
// context.blocks are at hand.
struct Part {
  std::span<const Left> lefts;
  int64_t first_row = 0, rows = 0;
  int64_t padded = 0;  // rows of all panels
  size_t first_block = 0;
  size_t end_block = 0;
};

// Parts of so many rows that threads may take apart.
int64_t row_parts(const CpuContext& context, int64_t rows);

// The rows from `first` on that are packed together. A panel never holds rows of two groups.
Part rows_from(CpuContext& context, int64_t m, int64_t first, std::span<const Left> lefts, RowGroups groups);

// Fills context.blocks; where each lies is counted from the start of its group.
void list_blocks(CpuContext& context, std::span<const Left> lefts);

// As many blocks from `first` as fit the packed rows; returns the end.
size_t place_group(CpuContext& context, std::span<const Left> lefts, size_t first);

// All rows of the part, of its blocks, to context.packed_a.
void pack_lefts(CpuContext& context, const Part& part);

}  // namespace oneround
