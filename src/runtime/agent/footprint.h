// Keeps the agent small in memory.
//
// Starting runs through a lot of code once: libraries set themselves up, keys and tables are built, the
// database is opened. Its pages stay mapped although they are hardly ever used again, a third of the resident
// size. So a while after the start all pages of code are unmapped, and those in use come back from the page
// cache by themselves.
#pragma once

namespace hs {

// Must be asked for once, at the start of the process, before threads are made.
void AllocateSparingly();

// Unmaps the pages of program code, and returns free heap to the system. Harmless at any time; what is in use
// costs a few hundred minor page faults. It never touches data: only mappings that cannot be written and can
// be executed.
void GiveBackUnused();

}  // namespace hs
