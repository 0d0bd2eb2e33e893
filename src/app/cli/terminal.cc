#include "app/cli/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>

namespace hs {
namespace {

// xterm's, which every terminal of today follows: another page, no cursor; and back.
constexpr char kEnter[] = "\033[?1049h\033[?25l";
constexpr char kLeave[] = "\033[?25h\033[?1049l";

constexpr int kEnds[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

// What signal handlers need; they are the reason that it is global.
termios g_before;
bool g_has_termios = false;
volatile sig_atomic_t g_resized = 0;

void WriteAll(const char* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t n = write(STDOUT_FILENO, bytes, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    bytes += n;
    size -= static_cast<std::size_t>(n);
  }
}

// Both only call what may be called in a signal handler (signal-safety(7)).
void Enter() {
  if (g_has_termios) {
    termios keys = g_before;
    keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    keys.c_cc[VMIN] = 0;
    keys.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &keys);
  }
  WriteAll(kEnter, sizeof kEnter - 1);
}

void Leave() {
  WriteAll(kLeave, sizeof kLeave - 1);
  if (g_has_termios) tcsetattr(STDIN_FILENO, TCSANOW, &g_before);
}

// SA_RESETHAND: the signal, raised again, does what it would have done.
void OnEnd(int number) {
  Leave();
  raise(number);
}

void OnResize(int) { g_resized = 1; }

// Asleep the terminal is the shell's; awake it is ours again, maybe with another size.
void OnStop(int) {
  const int saved = errno;
  Leave();
  raise(SIGSTOP);
  Enter();
  g_resized = 1;
  errno = saved;
}

void Handle(int number, void (*handler)(int), int flags) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, nullptr);
}

}  // namespace

Terminal::Terminal() {
  has_keys_ = isatty(STDIN_FILENO) != 0;
  g_has_termios = has_keys_ && tcgetattr(STDIN_FILENO, &g_before) == 0;
  for (const int number : kEnds) Handle(number, OnEnd, static_cast<int>(SA_RESETHAND));
  Handle(SIGTSTP, OnStop, 0);
  Handle(SIGWINCH, OnResize, 0);  // without SA_RESTART: it wakes Wait
  Enter();
  ReadSize();
}

Terminal::~Terminal() {
  Leave();
  for (const int number : kEnds) Handle(number, SIG_DFL, 0);
  Handle(SIGTSTP, SIG_DFL, 0);
  Handle(SIGWINCH, SIG_DFL, 0);
}

void Terminal::ReadSize() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return;
  columns_ = size.ws_col;
  rows_ = size.ws_row;
}

void Terminal::Show(const std::vector<std::string>& lines) {
  // Written over what is there, each line's rest wiped, then all below: clearing first would flicker.
  std::string out = "\033[H";
  for (std::size_t i = 0; i < lines.size() && i < rows_; ++i) {
    if (i > 0) out += "\r\n";
    out += lines[i] + "\033[K";
  }
  out += "\033[J";
  WriteAll(out.data(), out.size());
}

Terminal::Woken Terminal::Wait(int timeout_ms, char& key) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  while (true) {
    if (g_resized != 0) {
      g_resized = 0;
      ReadSize();
      return Woken::kResized;
    }
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now())
            .count();
    if (left <= 0) return Woken::kTimeout;
    pollfd wait{has_keys_ ? STDIN_FILENO : -1, POLLIN, 0};
    const int ready = poll(&wait, 1, static_cast<int>(left));
    if (ready <= 0) continue;
    const ssize_t got = read(STDIN_FILENO, &key, 1);
    if (got == 1) return Woken::kKey;
    if (got == 0 && (wait.revents & POLLHUP) == 0) continue;
    has_keys_ = false;  // its other end is gone
  }
}

}  // namespace hs
