// The terminal while a screen is shown: a page of its own, keys without Enter, no cursor; and everything as
// it was when that ends, however it ends.
//
// Invariants: one at a time. Between construction and destruction any exit gives the terminal back: a return,
// an exception, SIGINT, SIGTERM, SIGHUP, SIGQUIT, a crash; SIGTSTP gives it back while the program sleeps.
// SIGKILL cannot be helped.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace hs {

class Terminal {
 public:
  Terminal();  // stdout must be a terminal; stdin may be
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  std::size_t columns() const { return columns_; }
  std::size_t rows() const { return rows_; }

  // Replaces what is shown; lines beyond the last row are left out.
  void Show(const std::vector<std::string>& lines);

  enum class Woken { kTimeout, kResized, kKey };
  // Waits for a key, another size, or so long. After kKey, `key` is what was pressed.
  Woken Wait(int timeout_ms, char& key);

 private:
  void ReadSize();
  std::size_t columns_ = 80;
  std::size_t rows_ = 24;
  bool has_keys_ = false;
};

}  // namespace hs
