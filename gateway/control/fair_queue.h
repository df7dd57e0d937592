#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>

namespace vigil::control {

// Long work, one piece at a time, of each tenant in turn: whoever asks for a thousand pieces waits
// for itself. Control thread.
class FairQueue {
 public:
  // Calls `done` once, now or later.
  using Work = std::function<void(std::function<void()> done)>;
  // Pieces of one tenant that wait. More let it wait for longer than its client does.
  static constexpr size_t kMaxWaiting = 100;

  // False, and nothing happens, if the tenant has so many waiting.
  bool Add(const std::string& tenant, Work work) {
    std::deque<Work>& own = waiting_[tenant];
    if (own.size() >= kMaxWaiting) return false;
    own.push_back(std::move(work));
    if (!busy_) Run();
    return true;
  }

 private:
  void Run() {
    // Not from within the work that has just been done, which may have been done at once.
    while (!busy_ && !waiting_.empty()) {
      auto next = waiting_.upper_bound(last_);
      if (next == waiting_.end()) next = waiting_.begin();
      last_ = next->first;
      const Work work = std::move(next->second.front());
      next->second.pop_front();
      if (next->second.empty()) waiting_.erase(next);
      busy_ = true;
      running_ = true;
      work([this] {
        busy_ = false;
        if (!running_) Run();
      });
      running_ = false;
    }
  }

  std::map<std::string, std::deque<Work>> waiting_;
  std::string last_;      // Whose turn it was.
  bool busy_ = false;     // A piece is under way.
  bool running_ = false;  // It is being started.
};

}  // namespace vigil::control
