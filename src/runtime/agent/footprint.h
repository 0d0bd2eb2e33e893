// Keeps the agent small in memory.
//
// Starting runs through a lot of code once: libraries set themselves up, symbols are bound, keys and tables
// are built, the database is opened; so does each rare occasion after it (a join, a deploy). The pages of it
// stay mapped although they are hardly ever used again, a third of the resident size. So a while after the
// start, and again and again, all pages that can be read again from their files are unmapped, and those in
// use come back from the page cache by themselves.
#pragma once

namespace hs {

// Must be asked for once, at the start of the process, before threads are made.
void AllocateSparingly();

// Unmaps the pages of program code and constants, and returns free heap to the system. Harmless at any time;
// what is in use costs some hundred minor page faults, half a millisecond in all. It never touches data: only
// segments of programs and libraries that are loaded without the right to write.
void GiveBackUnused();

}  // namespace hs
