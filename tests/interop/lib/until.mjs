// The only place in these tests that waits for something without an event to wait on.

// Calls `condition` until it returns something truthy, and returns that. Throws when `withinMs` is
// over, saying what was waited for and what the condition returned last. An exception of the
// condition counts as "not yet" and is told at the end.
export async function until(what, condition, {withinMs = 20_000, everyMs = 50} = {}) {
  const deadline = performance.now() + withinMs;
  let last;
  for (;;) {
    try {
      last = await condition();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= deadline) break;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  const seen = last instanceof Error ? last.message : JSON.stringify(last);
  throw new Error(`waited ${withinMs} ms for ${what}; last: ${seen}`);
}

// Rejects when `promise` has not settled after `withinMs`.
export async function within(withinMs, what, promise) {
  let timer;
  const expired = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing after ${withinMs} ms`)), withinMs);
  });
  try {
    return await Promise.race([promise, expired]);
  } finally {
    clearTimeout(timer);
  }
}
