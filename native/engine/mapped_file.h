// A file mapped read-only. Pages are shared by every session and process that maps the same file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/status.h"

namespace oneround {

class MappedFile {
 public:
  static Status open(const std::string& path, std::shared_ptr<const MappedFile>* out);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const uint8_t* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  MappedFile(const uint8_t* data, int64_t bytes) : data_(data), bytes_(bytes) {}
  const uint8_t* data_;
  int64_t bytes_;
};

}  // namespace oneround
