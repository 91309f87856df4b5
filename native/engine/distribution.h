// Seeded numbers that are the same on every machine.
#pragma once

#include <cstddef>
#include <cstdint>

namespace oneround {

// out[i] from Philox(key = {seed, stream}, counter = {i / 4, 0, 0, 0}) for uniform [0, 1), or by Box and Muller from
// pairs of such numbers for the standard normal.
void fill_random(uint32_t seed, uint32_t stream, bool normal, float* out, size_t count);

}  // namespace oneround
