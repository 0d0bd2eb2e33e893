// Bundles: a service's files in one archive, named by the SHA-256 of its bytes.
//
// A bundle is immutable and checks itself: whoever holds bytes with the right digest holds the right bundle,
// wherever they came from. The store keeps DIRECTORY/<64 hex digits>.tar.zst and drafts of them.
//
// Invariants: a file has its final name only after its bytes were verified and synced; a bundle is verified
// again before it is unpacked, and a damaged one is removed, so that it will be fetched afresh.
//
// All functions block on the disk; call them on a disk thread. Distinct objects of one directory may work at
// once. It does not fetch, and does not decide what may be forgotten.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/ids.h"
#include "base/result.h"
#include "runtime/bundle/helper.h"

namespace hs {

inline constexpr std::uint64_t kBundleBytesMax = std::uint64_t{4} << 30;

struct PackedBundle {
  Digest digest;
  std::filesystem::path path;
  std::uint64_t bytes = 0;
};

// Packs `directory` into `out_file`: sorted, without times and owners, so that equal trees give equal
// digests. An error names the entry and why: missing, a device, a link to outside.
Result<PackedBundle> PackBundle(const std::filesystem::path& directory, const std::filesystem::path& out_file,
                                const std::filesystem::path& helper = DefaultBundleHelper());

// SHA-256 of a file; nothing when it cannot be read.
Result<Digest> DigestOfFile(const std::filesystem::path& file);

class BundleStore {
 public:
  // Makes the directory (0700) and removes what an earlier run left half-written.
  static Result<BundleStore> Open(std::filesystem::path directory,
                                  std::filesystem::path helper = DefaultBundleHelper());

  bool Has(const Digest& digest) const;
  std::vector<Digest> List() const;  // sorted
  std::filesystem::path Path(const Digest& digest) const;
  // For bytes that are not verified yet: another name at each call, and the next Open removes what has one.
  std::filesystem::path DraftPath(const Digest& digest) const;

  // Bytes as they arrive. Destroyed without Commit, it leaves nothing behind.
  class Incoming {
   public:
    ~Incoming();
    Incoming(Incoming&&) noexcept;
    Incoming& operator=(Incoming&&) noexcept;
    Result<void> Write(std::string_view bytes);
    // Refused when the bytes do not have the digest that was announced.
    Result<void> Commit();

   private:
    friend class BundleStore;
    struct State;
    explicit Incoming(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
  };
  Result<Incoming> Receive(const Digest& announced) const;

  // Copies a file in, verified. Adding what is there already does nothing.
  Result<void> AddFile(const std::filesystem::path& file, const Digest& announced) const;
  Result<void> Remove(const Digest& digest) const;

  // Into `target`, which must exist and be empty. On failure what is in it is to be removed by the caller.
  Result<void> Unpack(const Digest& digest, const std::filesystem::path& target) const;

 private:
  BundleStore(std::filesystem::path directory, std::filesystem::path helper)
      : directory_(std::move(directory)), helper_(std::move(helper)) {}

  std::filesystem::path directory_;
  std::filesystem::path helper_;
};

}  // namespace hs
