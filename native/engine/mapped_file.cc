#include "engine/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace oneround {

Status MappedFile::open(const std::string& path, std::shared_ptr<const MappedFile>* out) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0)
    return Status::error(Code::io, "cannot open " + path + ": " + std::strerror(errno),
                         "Check the path and its permissions.");
  struct stat info;
  if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size <= 0) {
    ::close(descriptor);
    return Status::error(Code::malformed, path + " is not a file with content", "Give the path of a weight file.");
  }
  void* data = mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_SHARED, descriptor, 0);
  ::close(descriptor);
  if (data == MAP_FAILED)
    return Status::error(Code::io, "cannot map " + path + ": " + std::strerror(errno),
                         "Check the free address space and limits.");
  out->reset(new MappedFile(static_cast<const uint8_t*>(data), info.st_size));
  return Status::ok();
}

MappedFile::~MappedFile() { munmap(const_cast<uint8_t*>(data_), static_cast<size_t>(bytes_)); }

}  // namespace oneround
