// homeostat-shim: stands between the agent and one replica, so that the agent can be killed, upgraded and
// restarted without touching work. It holds the replica's output and its end, and decides nothing.
//
//   homeostat-shim DIR WORKDIR UID:GID:GROUP,GROUP... CGROUP_PROCS COMMAND [ARG...]
//
//   homeostat-shim --run WORKDIR UID:GID:GROUP,GROUP... CGROUP_PROCS COMMAND [ARG...]
//
// The second form only becomes COMMAND, in the same place and as the same user: health checks run so.
// "-" stands for no user change and for no cgroup. The replica's environment is the shim's own, without
// HOMEOSTAT_FILES: the soft limit of open files that it gets, since the agent has raised its own. DIR is
// absolute. Inherited: fd 3, a pipe on which the outcome of the start is told once ("pid N" or "exec WORDS");
// fd 4, DIR/lock with an flock on it, which therefore lasts exactly as long as this process. It is started as
// the leader of a session: should it be killed, what it held is found by that.
//
// Files in DIR:  pid   "CHILD CHILD_START SHIM SHIM_START", once the exec succeeded (starts as in
// /proc/PID/stat)
//                exit  "code N", "signal N" or "exec WORDS", durable, once everything has ended
//                out.log, out.log.1, out.log.2  each line "2026-11-22T08:36:11.123Z o text", 10 MB each; o/e:
//                stream
//
// It is static and small (under 1 MB resident) because there is one per replica. It never blocks the replica:
// output that cannot be written is dropped and the gap is noted. When the replica ends, whatever it left
// behind ends too.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
  kStatusFd = 3,
  kLockFd = 4,
  kLineMax = 16 * 1024,
  kLogMax = 10 * 1000 * 1000,
  kGroupsMax = 64,
  kExitReserve = 128,
};

// ------------------------------------------------------------------------------------------------------ text

// A small string builder: stdio and locales would cost more memory than all the rest.
struct Text {
  char bytes[256];
  size_t size;
};

static void Add(struct Text* text, const char* words) {
  while (*words != '\0' && text->size + 1 < sizeof text->bytes) text->bytes[text->size++] = *words++;
  text->bytes[text->size] = '\0';
}

static void AddNumber(struct Text* text, unsigned long long value, int width) {
  char digits[24];
  int count = 0;
  do {
    digits[count++] = (char)('0' + value % 10);
    value /= 10;
  } while (value != 0 || count < width);
  while (count > 0 && text->size + 1 < sizeof text->bytes) text->bytes[text->size++] = digits[--count];
  text->bytes[text->size] = '\0';
}

// RFC 3339 in UTC with milliseconds. The date from days since 1970: Hinnant, "chrono-compatible low-level
// date algorithms", civil_from_days.
static void AddTime(struct Text* text) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  const long long days = now.tv_sec / 86400;
  const long long second = now.tv_sec % 86400;
  const long long z = days + 719468;
  const long long era = z / 146097;
  const long long doe = z - era * 146097;
  const long long yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const long long doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const long long mp = (5 * doy + 2) / 153;
  const long long month = mp < 10 ? mp + 3 : mp - 9;
  AddNumber(text, (unsigned long long)(yoe + era * 400 + (month <= 2)), 4);
  Add(text, "-");
  AddNumber(text, (unsigned long long)month, 2);
  Add(text, "-");
  AddNumber(text, (unsigned long long)(doy - (153 * mp + 2) / 5 + 1), 2);
  Add(text, "T");
  AddNumber(text, (unsigned long long)(second / 3600), 2);
  Add(text, ":");
  AddNumber(text, (unsigned long long)(second / 60 % 60), 2);
  Add(text, ":");
  AddNumber(text, (unsigned long long)(second % 60), 2);
  Add(text, ".");
  AddNumber(text, (unsigned long long)(now.tv_nsec / 1000000), 3);
  Add(text, "Z ");
}

// ------------------------------------------------------------------------------------------------------ log

static int log_fd = -1;
static size_t log_size;
static unsigned long long dropped_bytes;
static int log_torn;  // the last line was cut off by a full disk

static void OpenLog(void) {
  log_fd = open("out.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  struct stat info;
  log_size = log_fd >= 0 && fstat(log_fd, &info) == 0 ? (size_t)info.st_size : 0;
}

static void Rotate(void) {
  close(log_fd);
  rename("out.log.1", "out.log.2");
  rename("out.log", "out.log.1");
  OpenLog();
}

// All or nothing as far as the disk allows; what does not fit is counted.
static int WriteLog(const char* bytes, size_t size) {
  if (log_fd < 0) OpenLog();
  const ssize_t written = log_fd < 0 ? -1 : write(log_fd, bytes, size);
  if (written > 0) log_size += (size_t)written;
  if (written == (ssize_t)size) return 1;
  if (written > 0) log_torn = 1;
  return 0;
}

static char record[256 + kLineMax + 1];

static void LogLine(char stream, const char* line, size_t size) {
  if (log_size >= kLogMax) Rotate();
  if (dropped_bytes > 0) {
    struct Text note = {.size = 0};
    if (log_torn) Add(&note, "\n");
    AddTime(&note);
    Add(&note, "e [homeostat: ");
    AddNumber(&note, dropped_bytes, 1);
    Add(&note, " bytes of output could not be written and were dropped]\n");
    log_torn = 0;
    if (!WriteLog(note.bytes, note.size)) {
      dropped_bytes += size;
      return;
    }
    dropped_bytes = 0;
  }
  struct Text prefix = {.size = 0};
  AddTime(&prefix);
  Add(&prefix, stream == 'o' ? "o " : "e ");
  memcpy(record, prefix.bytes, prefix.size);
  memcpy(record + prefix.size, line, size);
  record[prefix.size + size] = '\n';
  if (!WriteLog(record, prefix.size + size + 1)) dropped_bytes += size + 1;
}

// One of the replica's two output pipes and the line that is not complete yet.
struct Stream {
  int fd;
  char letter;
  size_t size;
  char line[kLineMax];
};
static struct Stream streams[2];

static void Feed(struct Stream* stream, const char* bytes, size_t size) {
  while (size > 0) {
    const char* end = memchr(bytes, '\n', size);
    size_t take = end != NULL ? (size_t)(end - bytes) : size;
    const size_t room = kLineMax - stream->size;
    const int whole = end != NULL && take <= room;
    if (take > room) take = room;
    memcpy(stream->line + stream->size, bytes, take);
    stream->size += take;
    bytes += take + (whole ? 1 : 0);
    size -= take + (whole ? 1 : 0);
    if (whole || stream->size == kLineMax) {
      // A line of exactly the limit ends here; its newline, should it come next, must not make an empty one.
      if (!whole && size > 0 && *bytes == '\n') {
        ++bytes;
        --size;
      }
      LogLine(stream->letter, stream->line, stream->size);
      stream->size = 0;
    }
  }
}

static void CloseStream(struct Stream* stream) {
  if (stream->size > 0) LogLine(stream->letter, stream->line, stream->size);
  stream->size = 0;
  close(stream->fd);
  stream->fd = -1;
}

// Reads once; returns 0 when there is nothing more for now.
static int Drain(struct Stream* stream) {
  static char chunk[kLineMax];
  if (stream->fd < 0) return 0;
  const ssize_t got = read(stream->fd, chunk, sizeof chunk);
  if (got > 0) {
    Feed(stream, chunk, (size_t)got);
    return 1;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  CloseStream(stream);
  return 0;
}

// ------------------------------------------------------------------------------------------------------
// files

static int exit_fd = -1;

// Room for the last words is taken now, since the disk may be full when they are due.
static void ReserveExit(void) {
  char blank[kExitReserve];
  memset(blank, ' ', sizeof blank);
  unlink("pid");
  unlink("exit");
  exit_fd = open("exit.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  if (exit_fd >= 0 && write(exit_fd, blank, sizeof blank) < 0) errno = 0;
}

static void WriteExit(struct Text* words) {
  Add(words, "\n");
  if (exit_fd < 0) exit_fd = open("exit.tmp", O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
  if (exit_fd < 0) return;
  if (pwrite(exit_fd, words->bytes, words->size, 0) == (ssize_t)words->size &&
      ftruncate(exit_fd, (off_t)words->size) == 0 && fsync(exit_fd) == 0 && rename("exit.tmp", "exit") == 0) {
    const int dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0) fsync(dir);
  }
}

// Field 22 of /proc/PID/stat: what tells a process from a later one with the same number.
static unsigned long long StartTimeOf(pid_t pid) {
  struct Text path = {.size = 0};
  Add(&path, "/proc/");
  AddNumber(&path, (unsigned long long)pid, 1);
  Add(&path, "/stat");
  char stat[1024];
  const int fd = open(path.bytes, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const ssize_t got = read(fd, stat, sizeof stat - 1);
  close(fd);
  if (got <= 0) return 0;
  stat[got] = '\0';
  const char* at = strrchr(stat, ')');  // the name before it may hold anything
  for (int field = 2; at != NULL && field < 22; ++field) at = strchr(at + 1, ' ');
  return at != NULL ? strtoull(at + 1, NULL, 10) : 0;
}

static void WritePid(pid_t child) {
  struct Text text = {.size = 0};
  AddNumber(&text, (unsigned long long)child, 1);
  Add(&text, " ");
  AddNumber(&text, StartTimeOf(child), 1);
  Add(&text, " ");
  AddNumber(&text, (unsigned long long)getpid(), 1);
  Add(&text, " ");
  AddNumber(&text, StartTimeOf(getpid()), 1);
  Add(&text, "\n");
  const int fd = open("pid.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  if (fd < 0) return;
  if (write(fd, text.bytes, text.size) == (ssize_t)text.size) rename("pid.tmp", "pid");
  close(fd);
}

static void Tell(const char* kind, const char* words) {
  struct Text text = {.size = 0};
  Add(&text, kind);
  Add(&text, words);
  if (write(kStatusFd, text.bytes, text.size) < 0)
    errno = 0;  // the agent may be gone: its successor reads the files
  close(kStatusFd);
}

// ------------------------------------------------------------------------------------------------------ the
// replica

struct Who {
  int change;
  uid_t uid;
  gid_t gid;
  size_t group_count;
  gid_t groups[kGroupsMax];
};

static int ParseWho(const char* words, struct Who* who) {
  memset(who, 0, sizeof *who);
  if (strcmp(words, "-") == 0) return 1;
  char* end;
  who->change = 1;
  who->uid = (uid_t)strtoul(words, &end, 10);
  if (end == words || *end != ':') return 0;
  words = end + 1;
  who->gid = (gid_t)strtoul(words, &end, 10);
  if (end == words || (*end != ':' && *end != '\0')) return 0;
  while (*end != '\0' && who->group_count < kGroupsMax) {
    words = end + 1;
    const unsigned long group = strtoul(words, &end, 10);
    if (end == words) break;
    who->groups[who->group_count++] = (gid_t)group;
  }
  return *end == '\0';
}

struct Launch {
  const char* work_dir;
  const struct Who* who;
  int cgroup_fd;
  int out;
  int err;
  char** command;
  volatile int error;       // errno of what failed
  const char* volatile at;  // and what that was
};

static void ChildFail(struct Launch* launch, const char* at) {
  launch->error = errno;
  launch->at = at;
  _exit(127);
}

// Becomes the command. In the child of a vfork the memory is the shim's, so only `launch` is written, and the
// parent reads it after.
static void Become(struct Launch* launch) {
  if (setpgid(0, 0) != 0) ChildFail(launch, "setpgid");
  // When the box runs out of memory, a replica goes and not the agent or the door. A box that does not let us
  // say so is no reason not to start. As the agent's user: another one could not.
  const int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (oom >= 0 && write(oom, "500", 3) != 3) close(oom);
  if (launch->cgroup_fd >= 0 && write(launch->cgroup_fd, "0", 1) != 1)
    ChildFail(launch, "joining its cgroup");
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null < 0 || dup2(null, 0) < 0) ChildFail(launch, "/dev/null");
  if (dup2(launch->out, 1) < 0 || dup2(launch->err, 2) < 0) ChildFail(launch, "output pipes");
  if (launch->who->change) {
    if (setgroups(launch->who->group_count, launch->who->groups) != 0) ChildFail(launch, "setgroups");
    if (setgid(launch->who->gid) != 0) ChildFail(launch, "setgid");
    if (setuid(launch->who->uid) != 0) ChildFail(launch, "setuid");
  }
  if (chdir(launch->work_dir) != 0) ChildFail(launch, launch->work_dir);
  // If the shim itself is killed there is nobody left to hold this replica: it must not live on unseen.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  execvp(launch->command[0], launch->command);
  ChildFail(launch, launch->command[0]);
}

__attribute__((noinline)) static pid_t Spawn(struct Launch* launch) {
  const pid_t child = vfork();
  if (child == 0) Become(launch);
  return child;
}

// Ends everything that was left to this process, layer by layer: killing a parent hands its children to us.
static void KillLeftovers(void) {
  for (;;) {
    DIR* proc = opendir("/proc");
    const pid_t self = getpid();
    for (struct dirent* entry; proc != NULL && (entry = readdir(proc)) != NULL;) {
      const long pid = strtol(entry->d_name, NULL, 10);
      if (pid <= 0) continue;
      struct Text path = {.size = 0};
      Add(&path, "/proc/");
      Add(&path, entry->d_name);
      Add(&path, "/stat");
      char stat[512];
      const int fd = open(path.bytes, O_RDONLY | O_CLOEXEC);
      if (fd < 0) continue;
      const ssize_t got = read(fd, stat, sizeof stat - 1);
      close(fd);
      if (got <= 0) continue;
      stat[got] = '\0';
      const char* at = strrchr(stat, ')');
      if (at != NULL && strlen(at) > 4 && strtol(at + 4, NULL, 10) == self) kill((pid_t)pid, SIGKILL);
    }
    if (proc != NULL) closedir(proc);
    // One of ours is dying; each death may hand us more.
    if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD) return;
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
  }
}

// Holds the output until the replica ends; returns its wait status.
static int Hold(pid_t child, int signals) {
  int status = 0;
  int running = 1;
  while (running) {
    struct pollfd waits[3] = {{.fd = signals, .events = POLLIN},
                              {.fd = streams[0].fd, .events = POLLIN},
                              {.fd = streams[1].fd, .events = POLLIN}};
    if (poll(waits, 3, -1) < 0) continue;
    if (waits[1].revents != 0) Drain(&streams[0]);
    if (waits[2].revents != 0) Drain(&streams[1]);
    if (waits[0].revents == 0) continue;
    struct signalfd_siginfo info;
    while (read(signals, &info, sizeof info) > 0) continue;
    int ended;
    for (pid_t pid; (pid = waitpid(-1, &ended, WNOHANG)) > 0;) {
      if (pid != child) continue;  // an orphan of the replica's
      status = ended;
      running = 0;
    }
  }
  return status;
}

static int Usable(int pipe_ends[2]) {
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) return 0;
  return fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK) == 0;  // our end only: the replica's stays blocking
}

static void StartFailed(const char* at, int error) {
  struct Text words = {.size = 0};
  Add(&words, at);
  Add(&words, ": ");
  Add(&words, strerrordesc_np(error) != NULL ? strerrordesc_np(error) : "unknown error");
  struct Text line = {.size = 0};
  Add(&line, "exec ");
  Add(&line, words.bytes);
  WriteExit(&line);
  Tell("exec ", words.bytes);
  _exit(127);
}

static int Run(char** argv) {
  struct Who who;
  if (!ParseWho(argv[3], &who)) return 126;
  const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  struct Launch launch = {
      .work_dir = argv[2], .who = &who, .cgroup_fd = -1, .out = null, .err = null, .command = argv + 5};
  if (strcmp(argv[4], "-") != 0) launch.cgroup_fd = open(argv[4], O_WRONLY | O_CLOEXEC);
  Become(&launch);
  return 127;
}

// For this process, from which the replica inherits it.
static void LimitOpenFiles(void) {
  const char* words = getenv("HOMEOSTAT_FILES");
  struct rlimit limit;
  if (words == NULL || getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = strtoull(words, NULL, 10);
  setrlimit(RLIMIT_NOFILE, &limit);  // one that cannot be set is no reason not to start
  unsetenv("HOMEOSTAT_FILES");
}

int main(int argc, char** argv) {
  if (argc < 6) return 2;
  LimitOpenFiles();
  if (strcmp(argv[1], "--run") == 0) return Run(argv);
  close_range(kLockFd + 1, ~0U, 0);
  fcntl(kStatusFd, F_SETFD, FD_CLOEXEC);
  fcntl(kLockFd, F_SETFD, FD_CLOEXEC);
  umask(022);
  // Every signal waits for ever, but for the children's: whoever stops the agent's session does not stop the
  // shim.
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (chdir(argv[1]) != 0) StartFailed(argv[1], errno);
  ReserveExit();

  struct Who who;
  if (!ParseWho(argv[3], &who)) StartFailed("user", EINVAL);
  int out[2];
  int err[2];
  if (!Usable(out) || !Usable(err)) StartFailed("output pipes", errno);
  sigset_t child_signal;
  sigemptyset(&child_signal);
  sigaddset(&child_signal, SIGCHLD);
  const int signals = signalfd(-1, &child_signal, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0) StartFailed("signalfd", errno);
  struct Launch launch = {
      .work_dir = argv[2], .who = &who, .cgroup_fd = -1, .out = out[1], .err = err[1], .command = argv + 5};
  if (strcmp(argv[4], "-") != 0) {
    launch.cgroup_fd = open(argv[4], O_WRONLY | O_CLOEXEC);
    if (launch.cgroup_fd < 0) StartFailed("its cgroup", errno);
  }
  const pid_t child = Spawn(&launch);
  if (child < 0) StartFailed("fork", errno);
  if (launch.error != 0) {
    waitpid(child, NULL, 0);
    StartFailed(launch.at, launch.error);
  }
  close(out[1]);
  close(err[1]);
  if (launch.cgroup_fd >= 0) close(launch.cgroup_fd);
  streams[0] = (struct Stream){.fd = out[0], .letter = 'o'};
  streams[1] = (struct Stream){.fd = err[0], .letter = 'e'};
  WritePid(child);
  struct Text number = {.size = 0};
  AddNumber(&number, (unsigned long long)child, 1);
  Tell("pid ", number.bytes);

  const int status = Hold(child, signals);
  KillLeftovers();
  for (int i = 0; i < 2; ++i) {
    while (Drain(&streams[i])) continue;
    if (streams[i].fd >= 0) CloseStream(&streams[i]);
  }
  struct Text words = {.size = 0};
  Add(&words, WIFSIGNALED(status) ? "signal " : "code ");
  AddNumber(&words, (unsigned long long)(WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)), 1);
  WriteExit(&words);
  return 0;
}
