// What trains, the optimizer's moments, and what steps are held to: read and written between jobs.
#include <algorithm>

#include "bind/session.h"
#include "bind/values.h"

namespace oneround::bind {

Napi::Value SessionObject::parameter_count(const Napi::CallbackInfo& info) {
  if (!ready(info.Env())) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), static_cast<double>(session_->parameters().count()));
}

Napi::Value SessionObject::parameters(const Napi::CallbackInfo& info) {
  if (!ready(info.Env())) return info.Env().Undefined();
  const Parameters& p = session_->parameters();
  size_t first = 0, count = static_cast<size_t>(p.count());
  if (info.Length() > 0 &&
      (!read_size(info[0], "first", 0, count, &first) || !read_size(info[1], "count", 0, count - first, &count)))
    return info.Env().Undefined();
  return to_float32(info.Env(), {p.values() + first, count});
}

void SessionObject::copy_values(const Napi::CallbackInfo& info, float* to) {
  std::span<const float> values;
  if (!read_float32(info[0], "values", &values)) return;
  if (to == nullptr || static_cast<int64_t>(values.size()) != session_->parameters().count()) {
    refuse(info.Env(), "values", "a Float32Array of parameterCount numbers for a session opened with room for it");
    return;
  }
  std::copy(values.begin(), values.end(), to);
}

void SessionObject::set_parameters(const Napi::CallbackInfo& info) {
  if (ready(info.Env())) copy_values(info, session_->parameters().values());
}

void SessionObject::set_anchor(const Napi::CallbackInfo& info) {
  if (ready(info.Env())) copy_values(info, session_->anchor());
}

void SessionObject::set_correction(const Napi::CallbackInfo& info) {
  if (ready(info.Env())) copy_values(info, session_->correction());
}

void SessionObject::add_parameters(const Napi::CallbackInfo& info) {
  std::span<const float> values;
  size_t first;
  if (!ready(info.Env())) return;
  const Parameters& p = session_->parameters();
  const size_t count = static_cast<size_t>(p.count());
  if (!read_size(info[0], "first", 0, count, &first) || !read_float32(info[1], "values", &values)) return;
  if (values.size() > count - first) {
    refuse(info.Env(), "values", "numbers that end within the parameters");
    return;
  }
  float* to = p.values() + first;
  for (size_t i = 0; i < values.size(); i++) to[i] += values[i];
}

void SessionObject::load_base(const Napi::CallbackInfo& info) {
  if (ready(info.Env())) session_->load_base();
}

Napi::Value SessionObject::optimizer_state(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!ready(env)) return env.Undefined();
  const Parameters& p = session_->parameters();
  const size_t count = p.first_moment() == nullptr ? 0 : static_cast<size_t>(p.count());
  Napi::Object state = Napi::Object::New(env);
  state.Set("first", to_float32(env, {p.first_moment(), count}));
  state.Set("second", to_float32(env, {p.second_moment(), count}));
  state.Set("steps", static_cast<double>(p.steps));
  return state;
}

void SessionObject::set_optimizer_state(const Napi::CallbackInfo& info) {
  Napi::Object state;
  std::span<const float> first, second;
  size_t steps;
  if (!ready(info.Env()) || !read_object(info[0], "state", &state) ||
      !read_float32(state.Get("first"), "state.first", &first) ||
      !read_float32(state.Get("second"), "state.second", &second) ||
      !read_size(state.Get("steps"), "state.steps", 0, size_t{1} << 52, &steps))
    return;
  Parameters& p = session_->parameters();
  const size_t count = p.first_moment() == nullptr ? 0 : static_cast<size_t>(p.count());
  if (first.size() != count || second.size() != count || count == 0) {
    refuse(info.Env(), "state", "the moments of a training session with as many parameters");
    return;
  }
  std::copy(first.begin(), first.end(), p.first_moment());
  std::copy(second.begin(), second.end(), p.second_moment());
  p.steps = static_cast<int64_t>(steps);
}

void SessionObject::reset_optimizer(const Napi::CallbackInfo& info) {
  if (!ready(info.Env())) return;
  Parameters& p = session_->parameters();
  for (float* moment : {p.first_moment(), p.second_moment()})
    if (moment != nullptr) std::fill_n(moment, p.count(), 0.0f);
  p.steps = 0;
}

}  // namespace oneround::bind
