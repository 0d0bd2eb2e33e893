// Boost.JSON's own code, compiled once: Debian's package has no library of it.
#include <boost/json/src.hpp>
