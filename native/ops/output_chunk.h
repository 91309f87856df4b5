// Some columns of an output against some row panels: b is packed in chains of blocks that stay in a core's cache, and a
// register tile does the arithmetic.
#pragma once

#include "ops/left_rows.h"

namespace oneround {

// Columns [first_column, first_column + columns) against row panels [first_panel, end_panel), over the part's blocks.
void multiply_chunk(const CpuContext& context, const WorkerScratch& scratch, const Part& part, const Output& output,
                    int64_t first_panel, int64_t end_panel, int64_t first_column, int64_t columns);

}  // namespace oneround
