// Final norm, vocabulary logits and cross-entropy, in chunks of rows and only for rows that have a label:
// the matrix [tokens, vocabulary] never exists whole.
#pragma once

#include <atomic>

#include "models/block.h"

namespace oneround {

// Most rows of a chunk. Longer examples are cut at its multiples, so that sums over rows do not depend on batching.
constexpr int64_t kHeadRows = 256;

struct HeadWeights {
  Norm norm;
  Weight vocabulary;    // [V, hidden]
  Matrix d_vocabulary;  // data null: frozen
};

struct HeadScratch {
  Matrix chosen, normed, d_normed, d_chosen;  // [rows of a chunk, hidden]
  Matrix logits;                              // [rows of a chunk, V]
  NormRows norm_rows;                         // [kHeadRows]
  int32_t* rows = nullptr;                    // [kHeadRows]
  int32_t* labels = nullptr;                  // [kHeadRows]
  Segment* segments = nullptr;                // [kHeadRows]
  float* d_losses = nullptr;                  // [kHeadRows], one a segment
};

// losses[m] for each row m of x with labels[m] >= 0 (others untouched). d_x with data: all of it is overwritten with
// the gradient of each client's d_loss * sum(losses), and the head's own gradients are added to. Status aborted when
// asked between chunks.
Status head_loss(const BlockContext& context, const HeadWeights& weights, const HeadScratch& scratch, const Matrix& x,
                 const int32_t* labels, const Matrix& d_x, double* losses, const std::atomic<bool>& abort);

// y [M, V] = logits of every row
void head_logits(const BlockContext& context, const HeadWeights& weights, const HeadScratch& scratch, const Matrix& x,
                 const Matrix& y);

}  // namespace oneround
