#include "gateway/app/log.h"

#include <chrono>
#include <memory>

#include "nlohmann/json.hpp"
#include "spdlog/sinks/dup_filter_sink.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace vigil::app {
namespace {

// Higher hides how often something happens, lower lets a flood fill the disk.
constexpr std::chrono::seconds kSameLine{5};

bool as_json = false;

std::string Line(std::string_view event, std::initializer_list<LogField> fields) {
  if (as_json) {
    nlohmann::json line = {{"event", std::string(event)}};
    for (const auto& [name, value] : fields) line[std::string(name)] = value;
    // Without its braces: time and level come before.
    const std::string text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    return text.substr(1, text.size() - 2);
  }
  std::string text(event);
  for (const auto& [name, value] : fields) {
    text.append(" ").append(name).append("=").append(value);
  }
  return text;
}

}  // namespace

void SetUpLog(const std::string& level, const std::string& format) {
  as_json = format == "json";
  auto sink = std::make_shared<spdlog::sinks::dup_filter_sink_mt>(kSameLine);
  sink->add_sink(std::make_shared<spdlog::sinks::stderr_sink_mt>());
  auto logger = std::make_shared<spdlog::logger>("vigil", std::move(sink));
  logger->set_pattern(as_json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})"
                              : "%Y-%m-%dT%H:%M:%S.%eZ %l %v",
                      spdlog::pattern_time_type::utc);
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

void LogInfo(std::string_view event, std::initializer_list<LogField> fields) {
  spdlog::info(Line(event, fields));
}
void LogWarning(std::string_view event, std::initializer_list<LogField> fields) {
  spdlog::warn(Line(event, fields));
}
void LogError(std::string_view event, std::initializer_list<LogField> fields) {
  spdlog::error(Line(event, fields));
}

}  // namespace vigil::app
