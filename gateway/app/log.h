#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace vigil::app {

// One line each on stderr, as text or JSON; the same line again within five seconds is counted and
// not written. Nothing of participants: no name, address, id or URL. Any thread.

// `level` and `format` as in the configuration.
void SetUpLog(const std::string& level, const std::string& format);

using LogField = std::pair<std::string_view, std::string>;
// `event`: a few fixed words, by which lines of one kind are found.
void LogInfo(std::string_view event, std::initializer_list<LogField> fields = {});
void LogWarning(std::string_view event, std::initializer_list<LogField> fields = {});
void LogError(std::string_view event, std::initializer_list<LogField> fields = {});

}  // namespace vigil::app
