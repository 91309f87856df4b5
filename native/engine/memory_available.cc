#include "engine/memory_available.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

namespace oneround {

namespace {

// The first whole number of a small file; -1 where there is none ("max", or no file).
int64_t read_number(const char* path) {
  std::FILE* file = std::fopen(path, "r");
  if (file == nullptr) return -1;
  long long value = -1;
  if (std::fscanf(file, "%lld", &value) != 1) value = -1;
  std::fclose(file);
  return value;
}

int64_t available_of_system() {
  std::FILE* file = std::fopen("/proc/meminfo", "r");
  if (file != nullptr) {
    char line[128];
    long long kibibytes = -1;
    while (std::fgets(line, sizeof line, file) != nullptr)
      if (std::sscanf(line, "MemAvailable: %lld", &kibibytes) == 1) break;
    std::fclose(file);
    if (kibibytes >= 0) return kibibytes * 1024;
  }
  return static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
}

}  // namespace

int64_t memory_available() {
  int64_t available = available_of_system();
  const char* groups[][2] = {
      {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
      {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"}};
  for (const auto& group : groups) {
    const int64_t limit = read_number(group[0]), used = read_number(group[1]);
    if (limit > 0 && used >= 0) available = std::min(available, std::max<int64_t>(0, limit - used));
  }
  return available;
}

int usable_cores() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace oneround
