// The data directory: one agent at a time, files that are either old or new but never half.
//
// Invariants: the directory is 0700 and its files 0600; while a DataDir lives, its process holds the flock on
// `lock` (the kernel drops it when the process dies, however it dies); a write is durable, name included,
// when Write returns.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace hs {

class DataDir {
 public:
  // Makes the directory when it is missing. Errors name the path and the reason: in use (and by which
  // process), read-only, not a directory, full.
  static Result<DataDir> Open(std::string path);
  ~DataDir();
  DataDir(DataDir&& other) noexcept;
  DataDir& operator=(DataDir&& other) noexcept;

  const std::string& path() const { return path_; }
  std::string PathOf(std::string_view name) const { return path_ + "/" + std::string(name); }
  bool Has(std::string_view name) const;
  Result<std::string> Read(std::string_view name) const;
  // Writes beside, syncs, renames, syncs the directory.
  Result<void> Write(std::string_view name, std::string_view bytes) const;
  // One that is not there is no error.
  void Remove(std::string_view name) const;

 private:
  DataDir(std::string path, int lock_fd) : path_(std::move(path)), lock_fd_(lock_fd) {}
  std::string path_;
  int lock_fd_ = -1;
};

}  // namespace hs
