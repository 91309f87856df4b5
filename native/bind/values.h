// Reading arguments and making errors. Arguments are checked with their names in TypeScript; here a wrong type still
// ends as a JavaScript error and never as a read out of bounds. Every read_* returns false after throwing.
#pragma once

#include <napi.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "engine/status.h"

namespace oneround::bind {

// An Error with `code` (an ErrorCode of errors.ts) and `fix`; null only where JavaScript can no longer run.
inline napi_value make_error(napi_env env, const Status& status) {
  napi_value code = nullptr;
  napi_value message = nullptr;
  napi_value fix = nullptr;
  napi_value error = nullptr;
  const char* name = code_name(status.code);
  if (napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &code) != napi_ok) return nullptr;
  if (napi_create_string_utf8(env, status.message.data(), status.message.size(), &message) != napi_ok) return nullptr;
  if (napi_create_string_utf8(env, status.fix.data(), status.fix.size(), &fix) != napi_ok) return nullptr;
  if (napi_create_error(env, code, message, &error) != napi_ok) return nullptr;
  napi_set_named_property(env, error, "fix", fix);
  return error;
}

inline void throw_status(napi_env env, const Status& status) {
  napi_value error = make_error(env, status);
  if (error != nullptr) napi_throw(env, error);
}

// Always false, so that a reader can end with `return refuse(...)`.
inline bool refuse(napi_env env, const std::string& name, const std::string& expected) {
  throw_status(env,
               Status::error(Code::argument, name + " is not " + expected, "Pass " + expected + " as " + name + "."));
  return false;
}

inline bool read_double(Napi::Value value, const std::string& name, double* out) {
  if (value.IsEmpty() || !value.IsNumber()) return refuse(value.Env(), name, "a number");
  *out = value.As<Napi::Number>().DoubleValue();
  if (!std::isfinite(*out)) return refuse(value.Env(), name, "a finite number");
  return true;
}

// A whole number in [least, most]; `most` at most 2^53.
inline bool read_size(Napi::Value value, const std::string& name, size_t least, size_t most, size_t* out) {
  double number = 0;
  if (!read_double(value, name, &number)) return false;
  if (number != std::floor(number) || number < static_cast<double>(least) || number > static_cast<double>(most)) {
    return refuse(value.Env(), name, "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  *out = static_cast<size_t>(number);
  return true;
}

inline bool read_bool(Napi::Value value, const std::string& name, bool* out) {
  if (value.IsEmpty() || !value.IsBoolean()) return refuse(value.Env(), name, "a boolean");
  *out = value.As<Napi::Boolean>().Value();
  return true;
}

inline bool read_string(Napi::Value value, const std::string& name, std::string* out) {
  if (value.IsEmpty() || !value.IsString()) return refuse(value.Env(), name, "a string");
  *out = value.As<Napi::String>().Utf8Value();
  return true;
}

inline bool read_array(Napi::Value value, const std::string& name, Napi::Array* out) {
  if (value.IsEmpty() || !value.IsArray()) return refuse(value.Env(), name, "an array");
  *out = value.As<Napi::Array>();
  return true;
}

inline bool read_object(Napi::Value value, const std::string& name, Napi::Object* out) {
  if (value.IsEmpty() || !value.IsObject()) return refuse(value.Env(), name, "an object");
  *out = value.As<Napi::Object>();
  return true;
}

// A view into the caller's typed array: valid until the next call into JavaScript. Copy before a job starts.
template <typename T>
bool read_typed(Napi::Value value, const std::string& name, napi_typedarray_type expected, const char* type_name,
                std::span<const T>* out) {
  if (value.IsEmpty() || !value.IsTypedArray()) return refuse(value.Env(), name, type_name);
  napi_typedarray_type type{};
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(value.Env(), value, &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != expected) {
    return refuse(value.Env(), name, type_name);
  }
  *out = std::span<const T>(static_cast<const T*>(data), length);
  return true;
}

inline bool read_float32(Napi::Value value, const std::string& name, std::span<const float>* out) {
  return read_typed(value, name, napi_float32_array, "a Float32Array", out);
}
inline bool read_float64(Napi::Value value, const std::string& name, std::span<const double>* out) {
  return read_typed(value, name, napi_float64_array, "a Float64Array", out);
}
inline bool read_int32(Napi::Value value, const std::string& name, std::span<const int32_t>* out) {
  return read_typed(value, name, napi_int32_array, "an Int32Array", out);
}
inline bool read_uint32(Napi::Value value, const std::string& name, std::span<const uint32_t>* out) {
  return read_typed(value, name, napi_uint32_array, "a Uint32Array", out);
}

// Copies out; the result owns its memory.
inline Napi::Float32Array to_float32(Napi::Env env, std::span<const float> values) {
  Napi::Float32Array array = Napi::Float32Array::New(env, values.size());
  for (size_t i = 0; i < values.size(); ++i) array[i] = values[i];
  return array;
}
inline Napi::Float64Array to_float64(Napi::Env env, std::span<const double> values) {
  Napi::Float64Array array = Napi::Float64Array::New(env, values.size());
  for (size_t i = 0; i < values.size(); ++i) array[i] = values[i];
  return array;
}
inline Napi::Int32Array to_int32(Napi::Env env, std::span<const int32_t> values) {
  Napi::Int32Array array = Napi::Int32Array::New(env, values.size());
  for (size_t i = 0; i < values.size(); ++i) array[i] = values[i];
  return array;
}

}  // namespace oneround::bind
