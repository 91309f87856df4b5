// What this process may still take of the machine.
#pragma once

#include <cstdint>

namespace oneround {

// Bytes: the least of the system's available memory and what the control group still allows.
int64_t memory_available();
// Processors that this process may run on.
int usable_cores();

}  // namespace oneround
