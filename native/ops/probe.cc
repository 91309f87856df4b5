#include "ops/probe.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "engine/arena.h"
#include "engine/thread_pool.h"
#include "kernels/kernels.h"

namespace oneround {

namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

const Kernels* kernels_in_use() {
  const char* forced = std::getenv("ONEROUND_ISA");
  return select_kernels(forced != nullptr && forced[0] != '\0' ? forced : nullptr);
}

Status no_bf16() {
  return Status::error(Code::unsupported, "the instruction set in use has no bf16 products", "Ask for f32.");
}

// Runs `work`, which returns what it did, on every thread for about `seconds`; the sum of their rates.
template <class Work>
double rate_of(int threads, double seconds, const Work& work) {
  ThreadPool pool(threads);
  std::vector<double> rates(static_cast<size_t>(threads));
  pool.for_each(threads, [&](int64_t task, int) {
    double done = 0;
    const auto start = Clock::now();
    do done += work(task);
    while (since(start) < seconds);
    rates[static_cast<size_t>(task)] = done / since(start);
  });
  double sum = 0;
  for (double rate : rates) sum += rate;
  return sum;
}

}  // namespace

Status probe_peak(Compute compute, int threads, double seconds, double* out) {
  const Kernels* kernels = kernels_in_use();
  if (kernels == nullptr || (compute == Compute::bf16 && kernels->bf16_tile == nullptr)) return no_bf16();
  std::vector<float> sinks(static_cast<size_t>(threads) * 16, 1e-3f);
  *out = rate_of(threads, seconds, [&](int64_t task) {
    return kernels->peak(20000, compute == Compute::bf16, &sinks[static_cast<size_t>(task) * 16]);
  });
  return Status::ok();
}

Status probe_bandwidth(int threads, int64_t bytes, double seconds, double* out) {
  const Kernels* kernels = kernels_in_use();
  Arena memory;
  if (kernels == nullptr || !memory.reserve(bytes + 64))
    return Status::error(Code::memory, "no memory for the buffer", "Ask for fewer bytes.");
  const int64_t count = bytes / 4, share = count / threads;
  float* x = memory.take<float>(count);
  std::memset(x, 0, static_cast<size_t>(count) * 4);
  std::vector<float> sinks(static_cast<size_t>(threads) * 16);
  *out = rate_of(threads, seconds, [&](int64_t task) {
    sinks[static_cast<size_t>(task) * 16] += kernels->read_all(x + task * share, share);
    return static_cast<double>(share) * 4;
  });
  return Status::ok();
}

Status probe_product(const ProductProbe& p, std::vector<double>* seconds) {
  const auto cpu = CpuBackend::create(p.threads, nullptr, p.compute);
  if (cpu == nullptr) return no_bf16();
  const int64_t weight_bytes = p.out * row_bytes(p.type, p.in);
  Arena memory;
  if (!memory.reserve((p.rows * (p.in + p.out)) * 4 + weight_bytes + 256) ||
      !cpu->reserve(p.rows, std::max(p.in, p.out), 1, {1, 1, 2}))
    return Status::error(Code::memory, "no memory for the product", "Ask for a smaller one.");
  const Matrix x = matrix(memory.take<float>(p.rows * p.in), p.rows, p.in);
  const Matrix y = matrix(memory.take<float>(p.rows * p.out), p.rows, p.out);
  uint8_t* stored = memory.take<uint8_t>(weight_bytes);
  // Finite in every storage type, and without subnormal numbers.
  for (int64_t i = 0; i < weight_bytes; i++) stored[i] = i % 2 == 0 ? static_cast<uint8_t>(i * 37 % 251) : 0x2c;
  for (int64_t i = 0; i < p.rows * p.in; i++) x.data[i] = static_cast<float>(i % 17) * 0.125f - 1.0f;
  for (int64_t i = 0; i < p.rows * p.out; i++) y.data[i] = static_cast<float>(i % 13) * 0.125f - 1.0f;
  const Weight w{stored, p.type, p.out, p.in, 0, false, false};
  const Backend& backend = cpu->table();
  for (int i = 0; i < p.repeats; i++) {
    const auto start = Clock::now();
    if (p.backward)
      backend.linear_d_x(backend.self, y, w, x, 1.0f, false);
    else
      backend.linear(backend.self, x, w, y, 1.0f, false);
    seconds->push_back(since(start));
  }
  return Status::ok();
}

}  // namespace oneround
