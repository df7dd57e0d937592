#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/base/time.h"

namespace vigil::control {

// What was answered to requests that carry a request id, so that a retry has one effect. A request
// is known by its caller, its method and its id; the digest tells whether it is the same one.
class RequestMemory {
 public:
  // How long an answer is kept: no client retries a day later.
  static constexpr TimeDelta kKept = TimeDelta::Seconds(24 * 3600);
  // Bytes of answers that are kept; beyond, the oldest of the caller that has most go early: one
  // that makes many calls forgets its own. 64 MiB are some 10,000 answers
  // with SDP in them, or 400,000 without.
  static constexpr size_t kMaxBytes = 64 * 1024 * 1024;

  struct Key {
    std::string caller;
    std::string method;
    std::string request_id;
    auto operator<=>(const Key&) const = default;
    template <typename F>
    void Fields(F&& f) {
      f(caller, method, request_id);
    }
  };
  using Digest = std::array<uint8_t, 32>;
  // The serialized answer. Only what succeeded is remembered: a failed call changed nothing, and a
  // retry may do better.
  using OnAnswer = std::function<void(const absl::StatusOr<std::string>&)>;

  enum class Claim : uint8_t {
    kFirst,     // Carry it out, then call Finish().
    kWaits,     // The same request is being carried out: `waiter` gets its answer.
    kAnswered,  // `answer` is the answer.
    kReused,    // The id was used for something else.
  };
  // `waiter` is kept only with kWaits, `answer` filled only with kAnswered.
  Claim Begin(const Key& key, const Digest& digest, Timestamp now, OnAnswer waiter,
              std::string& answer);
  // The answer of a kFirst; everybody who waits for it is told.
  void Finish(const Key& key, const absl::StatusOr<std::string>& answer, Timestamp now);

  size_t size() const { return entries_.size(); }
  size_t bytes() const { return bytes_; }
  // Answers that went before their time, to stay within kMaxBytes.
  uint64_t forgotten_early() const { return forgotten_early_; }

  // Answered requests, for whoever takes over; what is being carried out is retried there.
  struct State {
    struct Item {
      Key key;
      Digest digest{};
      Timestamp at;
      std::string answer;
      template <typename F>
      void Fields(F&& f) {
        f(key, digest, at, answer);
      }
    };
    std::vector<Item> items;  // Of each caller, oldest first.
    template <typename F>
    void Fields(F&& f) {
      f(items);
    }
  };
  State Export() const;
  void Restore(const State& state);

 private:
  struct Entry {
    Digest digest{};
    Timestamp at;
    std::optional<std::string> answer;  // None: being carried out.
    std::vector<OnAnswer> waiters;
  };
  // What one caller was answered.
  struct Answered {
    std::deque<Key> keys;  // Oldest first.
    size_t bytes = 0;
  };
  void Keep(const Key& key, Entry& entry, std::string answer, Timestamp now);
  void Forget(Timestamp now);
  void ForgetOld(std::map<std::string, Answered>::iterator caller, Timestamp now);
  // Of the caller, its oldest.
  void ForgetOne(std::map<std::string, Answered>::iterator caller);
  static size_t SizeOf(const Key& key, const Entry& entry);

  std::map<Key, Entry> entries_;
  std::map<std::string, Answered> answered_;  // By caller.
  size_t bytes_ = 0;
  Timestamp swept_at_ = Timestamp::LongAgo();
  uint64_t forgotten_early_ = 0;
};

}  // namespace vigil::control
