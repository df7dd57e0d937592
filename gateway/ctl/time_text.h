#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "gateway/base/time.h"

// Times and spans as people read and write them.

namespace vigil::ctl {

// The wall clock, as the span since 1970-01-01 UTC.
TimeDelta UnixNow();

// Two units at most: "850 us", "12 ms", "3.4 s", "3 m 12 s", "2 h 5 m", "4 d 3 h".
std::string SpanText(TimeDelta span);

// "2026-01-31 09:08:07Z". `since_1970`: not negative.
std::string UtcText(TimeDelta since_1970);

// "45s", "30m", "8h", "90d"; a plain number is seconds. Nothing for anything else, for zero and for
// more than 100 years.
std::optional<TimeDelta> ParseSpan(std::string_view text);

}  // namespace vigil::ctl
