// SGD with momentum, as PyTorch has it (no dampening): velocity = momentum velocity + g, g with the weight decay in it;
// Nesterov's form steps along g + momentum velocity (Sutskever et al., ICML 2013).
#pragma once

#include <vector>

#include "engine/backend.h"

namespace oneround::reference {

struct SgdState {
  std::vector<double> parameters, velocity;
};

inline void sgd(SgdState& state, const std::vector<double>& gradient, const Sgd& o) {
  for (size_t i = 0; i < gradient.size(); i++) {
    double& p = state.parameters[i];
    double& v = state.velocity[i];
    const double g = gradient[i] * o.gradient_scale + o.weight_decay * p;
    v = o.momentum * v + g;
    p -= o.learning_rate * (o.nesterov ? g + o.momentum * v : v);
  }
}

}  // namespace oneround::reference
