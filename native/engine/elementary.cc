#include "engine/elementary.h"

#include <cstdint>
#include <cstring>

namespace oneround {

// x = 2^e m, m in [sqrt(1/2), sqrt(2)); log m = 2 atanh((m-1)/(m+1)) by its series.
double logarithm(double x) {
  uint64_t bits;
  std::memcpy(&bits, &x, 8);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  bits = (bits & 0xfffffffffffffull) | 0x3ff0000000000000ull;
  double m;
  std::memcpy(&m, &bits, 8);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    exponent++;
  }
  const double t = (m - 1) / (m + 1), t2 = t * t;
  double series = 0;
  for (int k = 27; k >= 1; k -= 2) series = series * t2 + 1.0 / k;
  return 2 * t * series + exponent * 0.6931471805599453;
}

// Subtracts a multiple of pi/2 given in three parts (fdlibm's split: the first two have zeros at the end), then Taylor.
void sine_cosine(double x, double* sine, double* cosine) {
  const double turns = static_cast<double>(static_cast<int64_t>(x * 0.6366197723675814 + 0.5));
  double r = x - turns * 1.57079632673412561417e+00;
  r -= turns * 6.07710050630396597660e-11;
  r -= turns * 2.02226624879595063154e-21;
  const double r2 = r * r;
  double s = 0, c = 0;
  for (int k = 19; k >= 3; k -= 2) s = (s + 1) * (-r2 / ((k - 1) * k));
  for (int k = 20; k >= 2; k -= 2) c = (c + 1) * (-r2 / ((k - 1) * k));
  s = (s + 1) * r;
  c = c + 1;
  switch (static_cast<int64_t>(turns) & 3) {
    case 0:
      *sine = s;
      *cosine = c;
      break;
    case 1:
      *sine = c;
      *cosine = -s;
      break;
    case 2:
      *sine = -s;
      *cosine = -c;
      break;
    default:
      *sine = -c;
      *cosine = s;
      break;
  }
}

}  // namespace oneround
