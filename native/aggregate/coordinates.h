// Methods that look at every element of the updates apart: they need each update's dense rows, which are made a few at
// a time. m clients cost m * 4 bytes for each element of a block of rows, and never a whole dense update.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "aggregate/factorize.h"
#include "engine/status.h"

namespace oneround::aggregate {

enum class CoordinateRule { median, trimmed_mean, ties, dare };

// One client's part of a layer: `factors.weight` scales its update (not yet its share).
struct CoordinatePart {
  Factors factors;
  double share = 0;     // p_i
  uint32_t stream = 0;  // dare: which of the seeded streams
};

struct CoordinateOptions {
  CoordinateRule rule = CoordinateRule::median;
  size_t trimmed = 0;  // trimmed_mean: values left out at either end, 2 * trimmed < clients
  double density = 1;  // ties: share of each update's elements that is kept, by magnitude, at least one
  double drop = 0;     // dare: probability that an element is left out
  uint32_t seed = 0;   // dare
};

// values [out, in]:
//   median        the middle value, or the mean of the two middle ones; shares are not looked at
//   trimmed_mean  the mean of what is left without the `trimmed` largest and smallest; shares are not looked at
//   ties          small elements to zero, the sign of sum p_i x_i, and the p-weighted mean of those with that sign
//   dare          sum p_i x_i keep_i / (1 - drop), keep_i drawn for each element
Status coordinate_wise(size_t in, size_t out, std::span<const CoordinatePart> parts, const CoordinateOptions& options,
                       std::vector<float>* values, const std::atomic<bool>& abort);

}  // namespace oneround::aggregate
