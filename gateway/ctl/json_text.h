#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace google::protobuf {
class Message;
}

// Output for machines: one JSON object a line.

namespace vigil::ctl {

using JsonValue = std::variant<std::string, bool, int64_t, std::vector<std::string>>;
using JsonMember = std::pair<std::string, JsonValue>;

// The members in their order, on one line that ends with a newline.
std::string JsonLine(const std::vector<JsonMember>& members);

// Protobuf's own JSON, on one line that ends with a newline. Zeros and empty lists are left out.
std::string JsonLine(const google::protobuf::Message& message);

}  // namespace vigil::ctl
