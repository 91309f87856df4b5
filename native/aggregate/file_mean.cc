#include "aggregate/file_mean.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <numeric>

#include "aggregate/columns.h"
#include "engine/mapped_file.h"
#include "engine/thread_pool.h"

namespace oneround::aggregate {
namespace {

// Numbers of one task: its sums stay in the first cache. Files are mapped, since reading them into a buffer was
// measured to cost half as much processor time again.
constexpr size_t kChunk = 4096;

struct Chunk {
  size_t tensor, first, count;  // `first` counts from the start of all tensors
};

std::vector<Chunk> chunks_of(std::span<const size_t> lengths) {
  std::vector<Chunk> chunks;
  size_t start = 0;
  for (size_t t = 0; t < lengths.size(); ++t) {
    for (size_t at = 0; at < lengths[t]; at += kChunk)
      chunks.push_back({t, start + at, std::min(kChunk, lengths[t] - at)});
    start += lengths[t];
  }
  return chunks;
}

}  // namespace

Status mean_of_files(std::span<const FloatFile> files, std::span<const size_t> lengths, int threads,
                     std::span<float> mean, std::vector<double>* squares, const std::atomic<bool>& abort) {
  const size_t total = std::accumulate(lengths.begin(), lengths.end(), size_t{0});
  if (mean.size() != total)
    return Status::error(Code::argument, "the mean has no room for its tensors", "Please report this as a defect.");
  std::vector<std::shared_ptr<const MappedFile>> maps(files.size());
  std::vector<const float*> numbers;
  std::vector<double> weights;
  for (size_t f = 0; f < files.size(); ++f) {
    const Status status = MappedFile::open(files[f].path, &maps[f]);
    if (!status.is_ok()) return status;
    const uint64_t bytes = static_cast<uint64_t>(maps[f]->bytes());
    if (files[f].offset % sizeof(float) != 0 || files[f].offset > bytes ||
        (bytes - files[f].offset) / sizeof(float) < total) {
      return Status::error(Code::malformed, files[f].path + " is shorter than its tensors",
                           "Have the client send its update file again.");
    }
    weights.push_back(files[f].weight);
    numbers.push_back(reinterpret_cast<const float*>(maps[f]->data() + files[f].offset));
  }
  const std::vector<Chunk> chunks = chunks_of(lengths);
  std::vector<double> parts(chunks.size() * files.size());
  ThreadPool pool(std::max(1, threads));
  std::vector<std::vector<double>> sums(static_cast<size_t>(pool.threads()), std::vector<double>(kChunk));
  std::vector<std::vector<const float*>> pieces(sums.size(), std::vector<const float*>(files.size()));
  pool.for_each(static_cast<int64_t>(chunks.size()), [&](int64_t index, int worker) {
    if (abort.load(std::memory_order_relaxed)) return;
    const Chunk& chunk = chunks[static_cast<size_t>(index)];
    const auto count = static_cast<int64_t>(chunk.count);
    double* sum = sums[static_cast<size_t>(worker)].data();
    std::fill_n(sum, chunk.count, 0.0);
    std::vector<const float*>& x = pieces[static_cast<size_t>(worker)];
    for (size_t f = 0; f < files.size(); ++f) x[f] = numbers[f] + chunk.first;
    kernels().add_widened_squares(static_cast<int64_t>(files.size()), x.data(), weights.data(), count, sum,
                                  parts.data() + static_cast<size_t>(index) * files.size());
    for (size_t i = 0; i < chunk.count; ++i) mean[chunk.first + i] = static_cast<float>(sum[i]);
  });
  // Giving back a quarter of a million pages is work too.
  pool.for_each(static_cast<int64_t>(files.size()), [&](int64_t f, int) { maps[static_cast<size_t>(f)].reset(); });
  if (abort.load(std::memory_order_relaxed))
    return Status::error(Code::aborted, "the aggregation was stopped", "Start it again.");
  squares->assign(files.size() * lengths.size(), 0.0);
  for (size_t c = 0; c < chunks.size(); ++c) {
    for (size_t f = 0; f < files.size(); ++f)
      (*squares)[f * lengths.size() + chunks[c].tensor] += parts[c * files.size() + f];
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
