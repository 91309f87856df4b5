// Causal softmax(q k' / sqrt(D)) v inside each segment; query head h reads key and value head h / (H / Hkv).
// With a window, row m sees itself and the window - 1 rows before it.
// q, y [M, H*D]; k, v [M, Hkv*D]; log_sum [M,H] = log sum exp(scores).
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <span>
#include <vector>

#include "engine/backend.h"
#include "reference/grid.h"

namespace oneround::reference {

template <typename T>
struct Attention {
  Grid<T> y;
  Grid<T> log_sum;
};

// The first row of the segment that row m sees.
inline int64_t first_seen(const Segment& segment, int64_t m, int64_t window) {
  return window == 0 ? segment.first : std::max(segment.first, m - window + 1);
}

// The scores of row m, head h against rows first..m.
template <typename T>
std::vector<T> attention_scores(const Grid<T>& q, const Grid<T>& k, AttentionShape shape, int64_t first, int64_t m,
                                int64_t h) {
  const int64_t d = shape.head_dim, kv = h / (shape.heads / shape.kv_heads);
  std::vector<T> scores;
  for (int64_t t = first; t <= m; t++) {
    T dot = 0;
    for (int64_t i = 0; i < d; i++) dot += q(m, h * d + i) * k(t, kv * d + i);
    scores.push_back(dot / static_cast<T>(std::sqrt(static_cast<double>(d))));
  }
  return scores;
}

// Subtracting the largest real part is a constant shift: it changes no derivative and keeps exp in range.
template <typename T>
T softmax_in_place(std::vector<T>& scores) {
  using std::exp;
  using std::log;
  double largest = -std::numeric_limits<double>::infinity();
  for (const T& s : scores) largest = std::max(largest, static_cast<double>(std::real(s)));
  T sum = 0;
  for (T& s : scores) sum += s = exp(s - static_cast<T>(largest));
  for (T& s : scores) s /= sum;
  return log(sum) + static_cast<T>(largest);
}

template <typename T>
Attention<T> attention(const Grid<T>& q, const Grid<T>& k, const Grid<T>& v, AttentionShape shape,
                       std::span<const Segment> segments) {
  const int64_t d = shape.head_dim;
  Attention<T> out{Grid<T>(q.rows, q.cols), Grid<T>(q.rows, shape.heads)};
  for (const Segment& segment : segments) {
    for (int64_t m = segment.first; m < segment.first + segment.count; m++) {
      for (int64_t h = 0; h < shape.heads; h++) {
        const int64_t kv = h / (shape.heads / shape.kv_heads);
        const int64_t seen = first_seen(segment, m, shape.window);
        std::vector<T> p = attention_scores(q, k, shape, seen, m, h);
        out.log_sum(m, h) = softmax_in_place(p);
        for (int64_t t = seen; t <= m; t++) {
          for (int64_t i = 0; i < d; i++) {
            out.y(m, h * d + i) += p[static_cast<size_t>(t - seen)] * v(t, kv * d + i);
          }
        }
      }
    }
  }
  return out;
}

struct AttentionGradients {
  Grid<double> d_q;
  Grid<double> d_k;
  Grid<double> d_v;
};

// d_p = d_y v'; d_score = p (d_p - sum p d_p); d_q = d_score k / sqrt(D); d_k = d_score' q / sqrt(D); d_v = p' d_y.
inline AttentionGradients attention_backward(const Grid<double>& q, const Grid<double>& k, const Grid<double>& v,
                                             AttentionShape shape, const Grid<double>& d_y,
                                             std::span<const Segment> segments) {
  const int64_t d = shape.head_dim;
  const double root = std::sqrt(static_cast<double>(d));
  AttentionGradients out{Grid<double>(q.rows, q.cols), Grid<double>(k.rows, k.cols), Grid<double>(v.rows, v.cols)};
  for (const Segment& segment : segments) {
    for (int64_t m = segment.first; m < segment.first + segment.count; m++) {
      for (int64_t h = 0; h < shape.heads; h++) {
        const int64_t kv = h / (shape.heads / shape.kv_heads);
        const int64_t seen = first_seen(segment, m, shape.window);
        std::vector<double> p = attention_scores(q, k, shape, seen, m, h);
        softmax_in_place(p);
        std::vector<double> d_p(p.size());
        double mean = 0;
        for (size_t j = 0; j < p.size(); j++) {
          const int64_t t = seen + static_cast<int64_t>(j);
          for (int64_t i = 0; i < d; i++) d_p[j] += d_y(m, h * d + i) * v(t, kv * d + i);
          mean += p[j] * d_p[j];
        }
        for (size_t j = 0; j < p.size(); j++) {
          const int64_t t = seen + static_cast<int64_t>(j);
          const double d_score = p[j] * (d_p[j] - mean) / root;
          for (int64_t i = 0; i < d; i++) {
            out.d_q(m, h * d + i) += d_score * k(t, kv * d + i);
            out.d_k(t, kv * d + i) += d_score * q(m, h * d + i);
            out.d_v(t, kv * d + i) += p[j] * d_y(m, h * d + i);
          }
        }
      }
    }
  }
  return out;
}

}  // namespace oneround::reference
