#include "aggregate/file_mean.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <utility>

#include "aggregate/columns.h"
#include "engine/scratch.h"
#include "engine/thread_pool.h"

namespace oneround::aggregate {
namespace {

// Numbers that are summed at a time, all of one tensor.
constexpr size_t kPiece = 16384;
// Numbers of one task: of each file so many are read at once. A copy of 256 KiB costs less than mapping its pages,
// reading them and giving them back; of smaller copies the calls were measured to be a third.
constexpr size_t kRead = 65536;
// Files that are read and summed at a time, as many as the kernel takes in one pass.
constexpr size_t kTogether = 4;
// Files that stay open. Those behind are opened for each read, so that their number is not limited.
constexpr size_t kMostOpen = 128;

struct Piece {
  size_t tensor, first, count;  // `first` counts from the start of all tensors
};

struct Task {
  size_t first_piece, last_piece;  // without the last
  size_t first, count;             // numbers
};

std::vector<Piece> pieces_of(std::span<const size_t> lengths) {
  std::vector<Piece> pieces;
  size_t start = 0;
  for (size_t t = 0; t < lengths.size(); ++t) {
    for (size_t at = 0; at < lengths[t]; at += kPiece)
      pieces.push_back({t, start + at, std::min(kPiece, lengths[t] - at)});
    start += lengths[t];
  }
  return pieces;
}

std::vector<Task> tasks_of(std::span<const Piece> pieces) {
  std::vector<Task> tasks;
  for (size_t p = 0; p < pieces.size(); ++p) {
    if (tasks.empty() || tasks.back().count + pieces[p].count > kRead) tasks.push_back({p, p, pieces[p].first, 0});
    tasks.back().last_piece = p + 1;
    tasks.back().count += pieces[p].count;
  }
  return tasks;
}

// Returns whether all of it was there.
bool read_whole(int descriptor, uint64_t offset, size_t size, void* into) {
  for (size_t done = 0; done < size;) {
    const ssize_t more =
        pread(descriptor, static_cast<char*>(into) + done, size - done, static_cast<off_t>(offset + done));
    if (more < 0 && errno == EINTR) continue;
    if (more <= 0) return false;
    done += static_cast<size_t>(more);
  }
  return true;
}

class Reader {
 public:
  explicit Reader(const FloatFile& file) : file_(&file) {}
  ~Reader() { close(); }
  Reader(Reader&& other) noexcept : file_(other.file_), descriptor_(std::exchange(other.descriptor_, -1)) {}

  // `total`: numbers that have to be there.
  Status open(size_t total) {
    // A pipe or a device would be waited for.
    descriptor_ = ::open(file_->path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor_ < 0)
      return Status::error(Code::io, "cannot open " + file_->path + ": " + std::strerror(errno),
                           "Check the path and its permissions.");
    struct stat info;
    const bool plain = fstat(descriptor_, &info) == 0 && S_ISREG(info.st_mode);
    const uint64_t bytes = plain ? static_cast<uint64_t>(info.st_size) : 0;
    if (file_->offset > bytes || (bytes - file_->offset) / sizeof(float) < total) return shorter();
    return Status::ok();
  }
  void close() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
  }

  // Opens the file for this read alone where it is closed.
  bool read(size_t first, size_t count, float* into) const {
    const int own = descriptor_ < 0 ? ::open(file_->path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    const bool done =
        read_whole(own < 0 ? descriptor_ : own, file_->offset + first * sizeof(float), count * sizeof(float), into);
    if (own >= 0) ::close(own);
    return done;
  }

  Status shorter() const {
    return Status::error(Code::malformed, file_->path + " is shorter than its tensors",
                         "Have the client send its update file again.");
  }

 private:
  const FloatFile* file_;
  int descriptor_ = -1;
};

// One thread's working memory.
struct Room {
  Scratch<double> sums;
  Scratch<float> numbers;  // [kTogether, kRead]
  bool read_all = true;
  size_t missing = 0;  // the file that could not be read
};

}  // namespace

Status mean_of_files(std::span<const FloatFile> files, std::span<const size_t> lengths, int threads,
                     std::span<float> mean, std::vector<double>* squares, const std::atomic<bool>& abort) {
  const size_t total = std::accumulate(lengths.begin(), lengths.end(), size_t{0});
  if (mean.size() != total)
    return Status::error(Code::argument, "the mean has no room for its tensors", "Please report this as a defect.");
  std::vector<Reader> readers;
  std::vector<double> weights;
  readers.reserve(files.size());
  for (const FloatFile& file : files) {
    weights.push_back(file.weight);
    const Status status = readers.emplace_back(file).open(total);
    if (!status.is_ok()) return status;
    if (readers.size() > kMostOpen) readers.back().close();
  }
  const std::vector<Piece> pieces = pieces_of(lengths);
  const std::vector<Task> tasks = tasks_of(pieces);
  std::vector<double> parts(pieces.size() * files.size());
  ThreadPool pool(std::max(1, threads));
  std::vector<Room> rooms(static_cast<size_t>(pool.threads()));
  pool.for_each(static_cast<int64_t>(tasks.size()), [&](int64_t index, int worker) {
    const Task& task = tasks[static_cast<size_t>(index)];
    Room& room = rooms[static_cast<size_t>(worker)];
    room.sums.assign(task.count, 0.0);
    room.numbers.resize(kTogether * kRead);
    for (size_t f = 0; f < files.size(); f += kTogether) {
      const size_t together = std::min(kTogether, files.size() - f);
      for (size_t k = 0; k < together; ++k) {
        if (abort.load(std::memory_order_relaxed) || !room.read_all) return;
        room.read_all = readers[f + k].read(task.first, task.count, room.numbers.data() + k * kRead);
        room.missing = f + k;
      }
      if (!room.read_all) return;
      for (size_t p = task.first_piece; p < task.last_piece; ++p) {
        const size_t at = pieces[p].first - task.first;
        const float* x[kTogether];
        for (size_t k = 0; k < together; ++k) x[k] = room.numbers.data() + k * kRead + at;
        kernels().add_widened_squares(static_cast<int64_t>(together), x, weights.data() + f,
                                      static_cast<int64_t>(pieces[p].count), room.sums.data() + at,
                                      parts.data() + p * files.size() + f);
      }
    }
    for (size_t i = 0; i < task.count; ++i) mean[task.first + i] = static_cast<float>(room.sums[i]);
  });
  if (abort.load(std::memory_order_relaxed))
    return Status::error(Code::aborted, "the aggregation was stopped", "Start it again.");
  for (const Room& room : rooms)
    if (!room.read_all) return readers[room.missing].shorter();
  squares->assign(files.size() * lengths.size(), 0.0);
  for (size_t p = 0; p < pieces.size(); ++p) {
    for (size_t f = 0; f < files.size(); ++f)
      (*squares)[f * lengths.size() + pieces[p].tensor] += parts[p * files.size() + f];
  }
  return Status::ok();
}

void read_heads(std::span<const std::string> paths, size_t size, std::span<uint8_t> bytes, std::vector<double>* lengths,
                const std::atomic<bool>& abort) {
  lengths->assign(paths.size(), -1.0);
  for (size_t f = 0; f < paths.size() && !abort.load(std::memory_order_relaxed); ++f) {
    // A pipe or a device would be waited for.
    const int descriptor = ::open(paths[f].c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) continue;
    struct stat info;
    size_t done = 0;
    bool failed = fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode);
    while (!failed && done < size) {
      const ssize_t more = pread(descriptor, bytes.data() + f * size + done, size - done, static_cast<off_t>(done));
      if (more < 0 && errno == EINTR) continue;
      failed = more < 0;
      if (more <= 0) break;
      done += static_cast<size_t>(more);
    }
    ::close(descriptor);
    if (!failed) (*lengths)[f] = static_cast<double>(done);
  }
}

}  // namespace oneround::aggregate
