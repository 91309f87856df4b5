#include "bind/system.h"

#include <cstdlib>

#include "bind/values.h"
#include "engine/distribution.h"
#include "engine/memory_available.h"
#include "kernels/kernels.h"

namespace oneround::bind {

namespace {

Napi::Value cpu(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const char* forced = std::getenv("ONEROUND_ISA");
  const Kernels* chosen = select_kernels(forced != nullptr && forced[0] != '\0' ? forced : nullptr);
  const char* names[kKernelSets];
  const int count = available_kernels(names);
  Napi::Array available = Napi::Array::New(env, static_cast<size_t>(count));
  for (int i = 0; i < count; i++) available[static_cast<uint32_t>(i)] = Napi::String::New(env, names[i]);
  if (chosen == nullptr) {
    throw_status(
        env, Status::error(Code::unsupported, std::string("ONEROUND_ISA is ") + forced + ", which this machine lacks",
                           "Unset ONEROUND_ISA or set it to scalar" + std::string(count > 1 ? " or avx2." : ".")));
    return env.Undefined();
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("isa", chosen->name);
  result.Set("available", available);
  result.Set("bf16", chosen->bf16_tile != nullptr);
  result.Set("cores", static_cast<double>(usable_cores()));
  result.Set("memoryAvailable", static_cast<double>(memory_available()));
  return result;
}

Napi::Value random(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  size_t seed, stream, count;
  std::string distribution;
  if (!read_size(info[0], "seed", 0, 0xffffffffu, &seed) || !read_size(info[1], "stream", 0, 0xffffffffu, &stream) ||
      !read_size(info[2], "count", 0, size_t{1} << 31, &count) || !read_string(info[3], "distribution", &distribution))
    return env.Undefined();
  if (distribution != "uniform" && distribution != "normal") {
    refuse(env, "distribution", "'uniform' or 'normal'");
    return env.Undefined();
  }
  Napi::Float32Array out = Napi::Float32Array::New(env, count);
  fill_random(static_cast<uint32_t>(seed), static_cast<uint32_t>(stream), distribution == "normal", out.Data(), count);
  return out;
}

}  // namespace

void init_system(Napi::Env env, Napi::Object exports) {
  exports.Set("cpu", Napi::Function::New(env, cpu, "cpu"));
  exports.Set("random", Napi::Function::New(env, random, "random"));
}

}  // namespace oneround::bind
