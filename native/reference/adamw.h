// AdamW: decoupled weight decay, bias-corrected moments (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2, with
// the decay multiplied by the learning rate as PyTorch does).
#pragma once

#include <cmath>
#include <vector>

#include "engine/backend.h"

namespace oneround::reference {

struct AdamWState {
  std::vector<double> parameters, first, second;
};

inline void adamw(AdamWState& state, const std::vector<double>& gradient, const AdamW& o) {
  const double correct1 = 1 - std::pow(o.beta1, static_cast<double>(o.step));
  const double correct2 = 1 - std::pow(o.beta2, static_cast<double>(o.step));
  for (size_t i = 0; i < gradient.size(); i++) {
    const double g = gradient[i] * o.gradient_scale;
    double& p = state.parameters[i];
    state.first[i] = o.beta1 * state.first[i] + (1 - o.beta1) * g;
    state.second[i] = o.beta2 * state.second[i] + (1 - o.beta2) * g * g;
    const double mean = state.first[i] / correct1, square = state.second[i] / correct2;
    p -= o.learning_rate * o.weight_decay * p + o.learning_rate * mean / (std::sqrt(square) + o.epsilon);
  }
}

}  // namespace oneround::reference
