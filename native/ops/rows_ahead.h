// Rows that are packed next are asked for, a few lines with each tile, so that they are at hand then. What a chunk or a
// head takes of a row is too short for the processor's own reading ahead. Nothing is read or written.
#pragma once

#include "ops/cpu_context.h"

namespace oneround {

class RowsAhead {
 public:
  // Bytes [first, end) of rows [row, row + rows). The last piece added is asked for first.
  void add(const RowSource& b, int64_t row, int64_t rows, int64_t first, int64_t end) {
    if (count_ == kMostPieces || rows <= 0 || end <= first) return;
    pieces_[count_++] = {b, row, row + rows, first, end};
    lines_ += rows * ((end - first + kLine - 1) / kLine);
  }

  int64_t bytes() const { return lines_ * kLine; }

  // All lines are to be asked for in this many steps.
  void divide(int64_t steps) { at_once_ = steps > 0 ? std::min(kMostLines, (lines_ + steps - 1) / steps) : 0; }

  // Instead: forgets what is left, and asks for so many lines a step, one every `every` depths.
  void begin(int64_t lines, int64_t every) {
    count_ = 0;
    lines_ = 0;
    at_ = end_ = nullptr;
    at_once_ = lines;
    every_ = every;
  }

  // The lines of the next step; they stay until the one after.
  Lines next() {
    int64_t n = 0;
    while (n < at_once_ && (at_ < end_ || next_row())) {
      asked_[n++] = at_;
      at_ += kLine;
    }
    return {n, asked_, every_};
  }

 private:
  static constexpr int kMostPieces = 8;
  // What memory delivers meanwhile; asked for faster, the lines keep the tile waiting.
  static constexpr int64_t kDepthsPerLine = 4;
  static constexpr int64_t kMostLines = kPairs / kDepthsPerLine;
  static constexpr int64_t kLine = 64;
  struct Piece {
    RowSource b;
    int64_t row, end_row;
    int64_t first, end;
  };

  bool next_row() {
    if (count_ == 0) return false;
    Piece& piece = pieces_[count_ - 1];
    const uint8_t* const row = piece.b.row(piece.row);
    at_ = row + piece.first;
    end_ = row + piece.end;
    if (++piece.row == piece.end_row) count_--;
    return true;
  }

  Piece pieces_[kMostPieces];
  int count_ = 0;
  int64_t lines_ = 0, at_once_ = 0, every_ = kDepthsPerLine;
  const uint8_t* at_ = nullptr;   // the next line
  const uint8_t* end_ = nullptr;  // of its row
  const uint8_t* asked_[kMostLines];
};

}  // namespace oneround
