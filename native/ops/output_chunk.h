// Some columns of an output against some row panels: b is packed in chains of blocks that stay in a core's cache, and a
// register tile does the arithmetic.
#pragma once

#include "ops/left_rows.h"

namespace oneround {

// Columns [first, first + count) of an output.
struct Columns {
  const Output* output = nullptr;
  int64_t first = 0, count = 0;
};

// Those columns against row panels [first_panel, end_panel), over the part's blocks. `next`: what the same worker
// probably takes afterwards; what it will pack is asked for meanwhile.
void multiply_chunk(const CpuContext& context, const WorkerScratch& scratch, const Part& part, int64_t first_panel,
                    int64_t end_panel, const Columns& mine, const Columns& next);

}  // namespace oneround
