#include "engine/thread_pool.h"

#include <chrono>

namespace oneround {

namespace {

constexpr auto kSpin = std::chrono::microseconds(30);

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Spins until ready() or the limit; true when ready.
template <class Ready>
bool spin_until(Ready ready) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; i++) {
      if (ready()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

}  // namespace

ThreadPool::ThreadPool(int threads) : shares_(std::make_unique<Share[]>(static_cast<size_t>(threads))) {
  for (int i = 1; i < threads; i++) workers_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    epoch_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

int64_t ThreadPool::take_share(Share& share, int worker) {
  int64_t taken = 0, left = share.left.load(std::memory_order_acquire);
  while (left > 0) {
    if (!share.left.compare_exchange_weak(left, left - 1, std::memory_order_acquire)) continue;
    // A task that is taken and not done keeps its run open: end, task_ and context_ are this run's.
    task_(context_, share.end - left, worker);
    taken++;
    left = share.left.load(std::memory_order_acquire);
  }
  return taken;
}

void ThreadPool::take_tasks(int worker) {
  int64_t taken = 0;
  for (int i = 0; i < threads(); i++)
    taken += take_share(shares_[static_cast<size_t>((worker + i) % threads())], worker);
  if (taken > 0) done_.fetch_add(taken, std::memory_order_release);
}

void ThreadPool::run(int64_t count, Task task, const void* context) {
  if (workers_.empty() || count <= 1) {
    for (int64_t i = 0; i < count; i++) task(context, i, 0);
    return;
  }
  task_ = task;
  context_ = context;
  done_.store(0, std::memory_order_relaxed);
  for (int w = 0; w < threads(); w++) shares_[static_cast<size_t>(w)].end = count * (w + 1) / threads();
  for (int w = 0; w < threads(); w++)
    shares_[static_cast<size_t>(w)].left.store(count * (w + 1) / threads() - count * w / threads(),
                                               std::memory_order_release);
  epoch_.fetch_add(1, std::memory_order_seq_cst);
  if (sleeping_.load(std::memory_order_seq_cst) > 0) {
    { std::lock_guard<std::mutex> lock(mutex_); }
    wake_.notify_all();
  }
  take_tasks(0);
  const auto done = [&] { return done_.load(std::memory_order_acquire) == count; };
  while (!spin_until(done)) std::this_thread::yield();
}

void ThreadPool::work(int worker) {
  uint64_t seen = 0;
  for (;;) {
    const auto ready = [&] { return epoch_.load(std::memory_order_seq_cst) != seen; };
    if (!spin_until(ready)) {
      std::unique_lock<std::mutex> lock(mutex_);
      sleeping_.fetch_add(1, std::memory_order_seq_cst);
      wake_.wait(lock, ready);
      sleeping_.fetch_sub(1, std::memory_order_seq_cst);
    }
    seen = epoch_.load(std::memory_order_acquire);
    if (stopping_) return;
    take_tasks(worker);
  }
}

}  // namespace oneround
