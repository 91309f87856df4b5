// Errors are values inside the engine; bind/ turns them into JavaScript errors with the same code.
#pragma once

#include <string>
#include <utility>

namespace oneround {

enum class Code { ok, argument, unsupported, not_found, malformed, memory, aborted, closed, numeric, io, native };

// `message` is what was found, `fix` is what to do.
struct Status {
  Code code = Code::ok;
  std::string message;
  std::string fix;

  bool is_ok() const { return code == Code::ok; }
  static Status ok() { return {}; }
  static Status error(Code code, std::string message, std::string fix) {
    return {code, std::move(message), std::move(fix)};
  }
};

// What a job ends with when it was asked to: its caller says what was stopped.
inline Status stopped() { return Status::error(Code::aborted, "stopped", "Start again to go on."); }

// The name that src/errors.ts uses for a code.
inline const char* code_name(Code code) {
  switch (code) {
    case Code::ok:
      return "OK";
    case Code::argument:
      return "ARGUMENT";
    case Code::unsupported:
      return "UNSUPPORTED";
    case Code::not_found:
      return "NOT_FOUND";
    case Code::malformed:
      return "MALFORMED";
    case Code::memory:
      return "MEMORY";
    case Code::aborted:
      return "ABORTED";
    case Code::closed:
      return "CLOSED";
    case Code::numeric:
      return "NUMERIC";
    case Code::io:
      return "IO";
    case Code::native:
      break;
  }
  return "NATIVE";
}

}  // namespace oneround
