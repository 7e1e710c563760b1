#pragma once

namespace ajar {

// Returns to the system what the allocator holds and nobody uses. Takes some milliseconds: for after something large.
void give_back_memory();

}  // namespace ajar
