#include "train/local_terms.h"

#include <vector>

namespace oneround {

namespace {

// gram[j,k] = sum_m x[m,j] y[m,k]                          x [M,r], y [M,r], in double
void gram_of_columns(const float* x, const float* y, int64_t rows, int64_t rank, std::vector<double>* gram) {
  gram->assign(static_cast<size_t>(rank * rank), 0.0);
  for (int64_t m = 0; m < rows; m++)
    for (int64_t j = 0; j < rank; j++) {
      const double factor = x[m * rank + j];
      double* to = gram->data() + j * rank;
      for (int64_t k = 0; k < rank; k++) to[k] += factor * y[m * rank + k];
    }
}

// gram[j,k] = sum_c x[j,c] y[k,c]                          x [r,K], y [r,K], in double
void gram_of_rows(const float* x, const float* y, int64_t cols, int64_t rank, std::vector<double>* gram) {
  gram->assign(static_cast<size_t>(rank * rank), 0.0);
  for (int64_t j = 0; j < rank; j++)
    for (int64_t k = 0; k < rank; k++) {
      double sum = 0;
      for (int64_t c = 0; c < cols; c++) sum += static_cast<double>(x[j * cols + c]) * y[k * cols + c];
      (*gram)[static_cast<size_t>(j * rank + k)] = sum;
    }
}

void difference(const float* x, const float* y, int64_t count, std::vector<float>* out) {
  out->resize(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; i++) (*out)[static_cast<size_t>(i)] = x[i] - y[i];
}

// d_a[k,:] += scale sum_j gram[k,j] x[j,:]                 x [r,K]
void add_rows(const std::vector<double>& gram, const float* x, int64_t cols, int64_t rank, double scale, float* d_a) {
  for (int64_t k = 0; k < rank; k++)
    for (int64_t j = 0; j < rank; j++) {
      const float factor = static_cast<float>(scale * gram[static_cast<size_t>(k * rank + j)]);
      for (int64_t c = 0; c < cols; c++) d_a[k * cols + c] += factor * x[j * cols + c];
    }
}

// d_b[m,:] += scale sum_j x[m,j] gram[j,:]                 x [M,r]
void add_columns(const std::vector<double>& gram, const float* x, int64_t rows, int64_t rank, double scale,
                 float* d_b) {
  for (int64_t m = 0; m < rows; m++)
    for (int64_t j = 0; j < rank; j++) {
      const double factor = scale * x[m * rank + j];
      for (int64_t k = 0; k < rank; k++)
        d_b[m * rank + k] += static_cast<float>(factor * gram[static_cast<size_t>(j * rank + k)]);
    }
}

void add_lora(const Slot& slot, const float* values, const float* anchor, float* gradient, double mu) {
  const int64_t rank = slot.rank, in = slot.cols, out = slot.rows, size_a = rank * in;
  const float *a = values, *b = values + size_a, *a0 = anchor, *b0 = anchor + size_a;
  const double scale = mu * static_cast<double>(slot.scale) * slot.scale;
  std::vector<float> e, f;
  std::vector<double> gram;
  difference(b, b0, out * rank, &e);
  difference(a, a0, size_a, &f);
  gram_of_columns(b, e.data(), out, rank, &gram);
  add_rows(gram, a, in, rank, scale, gradient);
  gram_of_columns(b, b0, out, rank, &gram);
  add_rows(gram, f.data(), in, rank, scale, gradient);
  gram_of_rows(a, a, in, rank, &gram);
  add_columns(gram, e.data(), out, rank, scale, gradient + size_a);
  gram_of_rows(f.data(), a, in, rank, &gram);
  add_columns(gram, b0, out, rank, scale, gradient + size_a);
}

}  // namespace

void add_proximal(const Parameters& parameters, const float* anchor, double mu) {
  for (const Slot& slot : parameters.slots()) {
    const float* values = parameters.values() + slot.first;
    const float* from = anchor + slot.first;
    float* gradient = parameters.gradient() + slot.first;
    if (slot.kind == Slot::Kind::lora)
      add_lora(slot, values, from, gradient, mu);
    else
      for (int64_t i = 0; i < slot.count; i++) gradient[i] += static_cast<float>(mu) * (values[i] - from[i]);
  }
}

void add_correction(const Parameters& parameters, const float* correction) {
  for (int64_t i = 0; i < parameters.count(); i++) parameters.gradient()[i] += correction[i];
}

}  // namespace oneround
