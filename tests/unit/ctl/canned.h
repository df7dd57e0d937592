#pragma once

#include <string>

#include "gateway/base/time.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

// Answers of a node, written as protobuf text.

namespace vigil::ctl {

// The wall clock of these tests, since 1970.
inline constexpr int64_t kNowSeconds = 1'800'000'000;
inline constexpr TimeDelta kNow = TimeDelta::Seconds(kNowSeconds);

template <typename Message>
Message Canned(std::string text) {
  // "@-5": 5 s before kNow.
  for (size_t at = text.find("@-"); at != std::string::npos; at = text.find("@-")) {
    const size_t end = text.find_first_not_of("0123456789", at + 2);
    const int64_t ago = std::stoll(text.substr(at + 2, end - at - 2));
    text.replace(at, end - at, "{ seconds: " + std::to_string(kNowSeconds - ago) + " }");
  }
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

}  // namespace vigil::ctl
