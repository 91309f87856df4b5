// The class Weights of src/native/binding/: base weights mapped from their files.
#pragma once

#include <napi.h>

#include <memory>
#include <string>

#include "models/base_weights.h"

namespace oneround::bind {

bool read_type(Napi::Value value, const std::string& name, Type* out);
bool read_decoder_shape(Napi::Value value, DecoderShape* out);
// A StorageType of binding.ts.
bool read_type(Napi::Value value, const std::string& name, Type* out);

class Weights : public Napi::ObjectWrap<Weights> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit Weights(const Napi::CallbackInfo& info);
  // Null where the object is no Weights.
  static const Weights* unwrap(Napi::Object object);
  // Null after close().
  const std::shared_ptr<const BaseWeights>& base() const { return base_; }

 private:
  Napi::Value bytes(const Napi::CallbackInfo& info);
  Napi::Value read(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::shared_ptr<const BaseWeights> base_;
  int64_t bytes_ = 0;
};

// The base behind a Weights object; null after throwing.
std::shared_ptr<const BaseWeights> read_weights(Napi::Value value);

void init_weights(Napi::Env env, Napi::Object exports);

}  // namespace oneround::bind
