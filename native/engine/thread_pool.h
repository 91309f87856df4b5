// A fork-join pool of one job: the thread that calls run() is worker 0. Workers spin briefly between operations and
// then sleep (a sleeping fork-join costs about 16 us; spinning longer starves other processes). A run waits for its
// tasks, not for its workers: one that the system wakes late finds nothing left and delays nobody.
// Worker w begins with the w-th share of the tasks, so that what one operation wrote is read by the same core in the
// next (where cores share no cache, a line of another core costs six times as much); then it helps with other shares.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace oneround {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }
  // Of `count` tasks, the end of those that a worker begins with.
  int64_t share_end(int64_t count, int worker) const { return count * (worker + 1) / threads(); }

  // Calls task(context, i, worker) for each i in [0, count), in any order; returns when all are done.
  // Which worker takes a task must not change a result.
  using Task = void (*)(const void* context, int64_t index, int worker);
  void run(int64_t count, Task task, const void* context);

  template <class Body>
  void for_each(int64_t count, const Body& body) {
    run(
        count, [](const void* b, int64_t index, int worker) { (*static_cast<const Body*>(b))(index, worker); }, &body);
  }

 private:
  // Tasks [end - left, end) of the run that nobody has taken.
  struct alignas(64) Share {
    std::atomic<int64_t> left{0};
    int64_t end = 0;
  };

  void work(int worker);
  void take_tasks(int worker);
  int64_t take_share(Share& share, int worker);

  std::vector<std::thread> workers_;
  std::unique_ptr<Share[]> shares_;  // one a worker
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> epoch_{0};
  std::atomic<int64_t> done_{0};
  std::atomic<int> sleeping_{0};
  bool stopping_ = false;
  Task task_ = nullptr;
  const void* context_ = nullptr;
};

}  // namespace oneround
