#include "gateway/ctl/json_text.h"

#include "google/protobuf/message.h"
#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"

namespace vigil::ctl {

std::string JsonLine(const std::vector<JsonMember>& members) {
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  for (const auto& [name, value] : members) {
    std::visit([&object, &key = name](const auto& plain) { object[key] = plain; }, value);
  }
  // What a server says may be no UTF-8.
  return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string JsonLine(const google::protobuf::Message& message) {
  std::string text;
  // Fails for well-known types with impossible values only, which no message of ours has.
  if (!google::protobuf::util::MessageToJsonString(message, &text).ok()) return "{}\n";
  return text + "\n";
}

}  // namespace vigil::ctl
