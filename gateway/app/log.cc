#include "gateway/app/log.h"

#include <chrono>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

#include "nlohmann/json.hpp"
#include "spdlog/sinks/base_sink.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace vigil::app {
namespace {

// Higher hides how often something happens, lower lets a flood fill the disk.
constexpr std::chrono::seconds kSameLine{5};

bool as_json = false;

std::string Line(std::string_view event, std::initializer_list<LogField> fields);

// Lets a line through that is not the one before again, and says how often that one came since.
class RepeatFilter final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit RepeatFilter(spdlog::sink_ptr to) : to_(std::move(to)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& line) override {
    const std::string_view text(line.payload.data(), line.payload.size());
    if (text == last_ && line.level == level_ && line.time - last_at_ < kSameLine) {
      ++repeated_;
      return;
    }
    if (repeated_ > 0) {
      const std::string again = Line("line repeated", {{"times", std::to_string(repeated_)}});
      to_->log({line.time, {}, line.logger_name, level_, again});
    }
    to_->log(line);
    last_ = text;
    level_ = line.level;
    last_at_ = line.time;
    repeated_ = 0;
  }
  void flush_() override { to_->flush(); }
  void set_formatter_(std::unique_ptr<spdlog::formatter> formatter) override {
    to_->set_formatter(std::move(formatter));
  }
  void set_pattern_(const std::string& pattern) override { to_->set_pattern(pattern); }

  spdlog::sink_ptr to_;
  std::string last_;
  spdlog::level::level_enum level_ = spdlog::level::off;
  spdlog::log_clock::time_point last_at_;
  size_t repeated_ = 0;
};

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
  auto logger = std::make_shared<spdlog::logger>(
      "vigil", std::make_shared<RepeatFilter>(std::make_shared<spdlog::sinks::stderr_sink_mt>()));
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
