#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "gateway/base/time.h"

namespace vigil::sim {

// What the checkers have against a run. Bounded: the first ones tell.
class Findings {
 public:
  static constexpr size_t kMost = 12;

  void Add(Timestamp now, const std::string& what) {
    ++count_;
    if (texts_.size() < kMost) texts_.push_back(std::to_string(now.ns() / 1000) + " us: " + what);
  }
  bool empty() const { return count_ == 0; }
  std::string ToString() const {
    std::string text = std::to_string(count_) + " findings";
    for (const std::string& one : texts_) text += "\n  " + one;
    return text;
  }

 private:
  size_t count_ = 0;
  std::vector<std::string> texts_;
};

}  // namespace vigil::sim
