#pragma once

#include "gateway/base/time.h"

namespace vigil::io {

// Asks the kernel to run the calling thread soon after it wakes, before threads that are merely
// busy: it announces `slice` as the time that the thread needs at a stretch. A shorter slice means
// an earlier deadline among equals, and no greater share of the processor (Linux 6.12 and later,
// EEVDF; 100 us to 100 ms). Needs no privilege. Older kernels ignore it; returns false where the
// kernel refused, which costs punctuality and nothing else.
bool AskForShortSlices(TimeDelta slice);

}  // namespace vigil::io
