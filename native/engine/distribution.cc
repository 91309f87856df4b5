#include "engine/distribution.h"

#include <cmath>

#include "engine/elementary.h"
#include "engine/random.h"

namespace oneround {

namespace {

// (0, 1], so that its logarithm exists
double open_uniform(uint32_t bits) { return (static_cast<double>(bits) + 1.0) * 2.3283064365386963e-10; }

}  // namespace

void fill_random(uint32_t seed, uint32_t stream, bool normal, float* out, size_t count) {
  for (size_t i = 0; i < count; i += 4) {
    const PhiloxBlock bits =
        philox({static_cast<uint32_t>(i / 4), static_cast<uint32_t>((i / 4) >> 32), 0, 0}, seed, stream);
    float block[4];
    for (size_t j = 0; j < 4; j += 2) {
      if (normal) {
        const double radius = std::sqrt(-2.0 * logarithm(open_uniform(bits[j])));
        double sine, cosine;
        sine_cosine(6.283185307179586 * uniform_of(bits[j + 1]), &sine, &cosine);
        block[j] = static_cast<float>(radius * cosine);
        block[j + 1] = static_cast<float>(radius * sine);
      } else {
        block[j] = uniform_of(bits[j]);
        block[j + 1] = uniform_of(bits[j + 1]);
      }
    }
    for (size_t j = 0; j < 4 && i + j < count; j++) out[i + j] = block[j];
  }
}

}  // namespace oneround
