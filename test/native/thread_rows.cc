// What several threads share: the pool's tasks, one base under several sessions, and a step that another thread stops.
// ThreadSanitizer looks for races in these rows; their own errors are wrong counts and other bits.
#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <thread>

#include "engine/kept_pages.h"
#include "engine/thread_pool.h"
#include "op_table.h"
#include "test_data.h"
#include "tiny_model.h"
#include "train/session.h"

namespace oneround::test {

namespace {

constexpr int64_t kExamples = 12, kLength = 9;

// Every task runs once and is seen by the thread that asked for it; `rest` lets the workers fall asleep between runs.
double pool_errors(int threads, int rounds, std::chrono::microseconds rest) {
  ThreadPool pool(threads);
  std::vector<int64_t> done(97);  // not atomic: the pool itself must order these writes and reads
  int64_t wrong = 0;
  for (int round = 0; round < rounds; round++) {
    const int64_t count = round % static_cast<int64_t>(done.size() + 1);
    std::fill(done.begin(), done.end(), 0);
    pool.for_each(count, [&](int64_t i, int worker) {
      if (worker < 0 || worker >= threads) return;
      done[static_cast<size_t>(i)] += i + round;
    });
    for (int64_t i = 0; i < static_cast<int64_t>(done.size()); i++) {
      if (done[static_cast<size_t>(i)] != (i < count ? i + round : 0)) wrong++;
    }
    if (rest.count() > 0) std::this_thread::sleep_for(rest);
  }
  return static_cast<double>(wrong);
}

// Pages that are given back come again while somebody keeps them, to one thread at a time.
double kept_pages_errors(int threads, int rounds) {
  std::atomic<int64_t> wrong{0};
  const KeptPages kept;
  void* const first = take_pages(kHugePage);
  give_pages_back(first, kHugePage);
  void* const larger = take_pages(2 * kHugePage);
  void* const again = take_pages(kHugePage);
  if (larger == first || again != first) wrong++;
  give_pages_back(again, kHugePage);
  give_pages_back(larger, 2 * kHugePage);
  std::vector<std::thread> workers;
  for (int worker = 0; worker < threads; worker++)
    workers.emplace_back([&, worker] {
      const KeptPages own;
      for (int round = 0; round < rounds; round++) {
        const size_t bytes = kHugePage * static_cast<size_t>(1 + (round + worker) % 2);
        auto* const last = static_cast<int*>(take_pages(bytes)) + bytes / sizeof(int) - 1;
        *last = worker;
        std::this_thread::yield();
        if (*last != worker) wrong++;
        give_pages_back(last + 1 - bytes / sizeof(int), bytes);
      }
    });
  for (std::thread& worker : workers) worker.join();
  return static_cast<double>(wrong);
}

std::unique_ptr<Session> open_session(const std::shared_ptr<const BaseWeights>& base, int threads) {
  SessionOptions options;
  for (const char* layer : {"self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj"}) {
    Slot slot;
    slot.name = base->shape().names.block_prefix(0) + layer;
    slot.rank = 2;
    slot.dropout = 0.1f;
    options.slots.push_back(slot);
  }
  options.threads = threads;
  options.rows_per_pass = 4 * kLength;
  options.longest_example = kLength;
  std::unique_ptr<Session> session;
  const Status status = Session::create(base, std::move(options), &session);
  if (!status.is_ok()) throw std::runtime_error(status.message);
  Random random(5);
  for (int64_t i = 0; i < session->parameters().count(); i++)
    session->parameters().values()[i] = static_cast<float>(0.1 * random.normal());
  return session;
}

Batch batch_of(uint32_t first_counter) {
  Batch batch;
  for (int64_t e = 0; e < kExamples; e++) {
    batch.lengths.push_back(kLength);
    batch.dropout_counters.push_back(first_counter + static_cast<uint32_t>(e));
    for (int64_t t = 0; t < kLength; t++) {
      batch.ids.push_back(static_cast<int32_t>((e * 3 + t) % 7));
      batch.labels.push_back(static_cast<int32_t>((e + t * 2) % 7));
    }
  }
  return batch;
}

StepOptions step_options() {
  StepOptions options;
  options.learning_rate = 1e-2;
  options.clip_norm = 1;
  return options;
}

Parts values_of(Session& session) {
  const float* values = session.parameters().values();
  return {{"parameters", std::vector<double>(values, values + session.parameters().count()), 0}};
}

// The parameters after some steps; each stopped attempt is made again.
Parts trained(Session& session, int steps) {
  std::atomic<bool> abort{false};
  StepResult result;
  for (int i = 0; i < steps; i++) {
    const Status status = session.step(batch_of(static_cast<uint32_t>(i * kExamples)), step_options(), abort, &result);
    if (!status.is_ok()) throw std::runtime_error(status.message);
  }
  return values_of(session);
}

// Steps on a thread of their own, as bind/job.h runs them, each stopped by this thread a little later than the one
// before. A stopped step leaves the parameters of before it; one that was not stopped has done a whole step.
double stopped_steps(const std::shared_ptr<const BaseWeights>& base, int attempts) {
  std::unique_ptr<Session> session = open_session(base, 4);
  int64_t wrong = 0;
  for (int i = 0; i < attempts; i++) {
    const Parts before = values_of(*session);
    std::atomic<bool> abort{false};
    Status status;
    std::thread job([&] {
      StepResult result;
      status = session->step(batch_of(0), step_options(), abort, &result);
    });
    std::this_thread::sleep_for(std::chrono::microseconds(20 * (i % 100)));
    abort.store(true, std::memory_order_relaxed);
    job.join();
    const bool moved = bit_difference(values_of(*session), before) != 0;
    if (status.code != Code::ok && status.code != Code::aborted) wrong++;
    if (moved != status.is_ok()) wrong++;
  }
  return static_cast<double>(wrong);
}

// Sessions with 1 to 4 threads each, all at once over one base, against one that is alone.
double shared_base(const std::shared_ptr<const BaseWeights>& base) {
  const Parts alone = trained(*open_session(base, 1), 4);
  std::vector<Parts> together(4);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++)
    threads.emplace_back([&, i] { together[static_cast<size_t>(i)] = trained(*open_session(base, i + 1), 4); });
  for (std::thread& thread : threads) thread.join();
  double worst = 0;
  for (const Parts& one : together) worst = std::max(worst, bit_difference(one, alone));
  return worst;
}

}  // namespace

void thread_rows(Table& table) {
  for (int threads : {1, 2, 3, 4}) {
    const std::string shape = "threads=" + std::to_string(threads);
    table.row("thread_pool", shape, 0, [=] { return pool_errors(threads, 3000, std::chrono::microseconds(0)); });
    table.row("thread_pool", shape + ",asleep", 0,
              [=] { return pool_errors(threads, 100, std::chrono::microseconds(200)); });
    table.row("thread_pool", shape + ",opened and closed", 0, [=] {
      double wrong = 0;
      for (int i = 0; i < 100; i++) wrong += pool_errors(threads, i % 3, std::chrono::microseconds(0));
      return wrong;
    });
    table.row("kept_pages", shape, 0, [=] { return kept_pages_errors(threads, 100); });
  }
  const TinyModel model = tiny_model(2);
  std::shared_ptr<const BaseWeights> base;
  const Status status = BaseWeights::open(model.shape, {model.path}, model.tensors, &base);
  std::filesystem::remove(model.path);  // the mapping stays
  table.row("session", "opened", 0, [&] { return status.is_ok() ? 0.0 : 1.0; });
  if (!status.is_ok()) return;
  table.row("session", "stopped by another thread", 0, [&] { return stopped_steps(base, 200); });
  table.row("session", "four over one base", 0, [&] { return shared_base(base); });
}

}  // namespace oneround::test
