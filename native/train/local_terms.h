// What a strategy adds to a client's gradient beside the data's.
#pragma once

#include "models/parameters.h"

namespace oneround {

// The gradient of mu/2 ||w - w0||^2 over merged weights, added to parameters.gradient(); `anchor` is w0's parameters.
// FedProx's term (Li et al., arXiv 1812.06127). A LoRA slot's w is s B A, so the term does not see how a product is
// split into its factors; with E = B - B0 [out,r] and F = A - A0 [r,in], s (B A - B0 A0) = s (E A + B0 F), and
//   d_A += mu s^2 ((B'E) A + (B'B0) F)        d_B += mu s^2 (E (A A') + B0 (F A'))
// which costs 4 r^2 (in + out) products a layer, and subtracts before it multiplies: nothing cancels near the start.
void add_proximal(const Parameters& parameters, const float* anchor, double mu);

// gradient += correction, entry by entry: SCAFFOLD's c - c_i (Karimireddy et al., arXiv 1910.06378).
void add_correction(const Parameters& parameters, const float* correction);

}  // namespace oneround
