// A clock for tests: preloaded, it lets the file that CURFEW_CLOCK_FILE names say what time of day it
// is (a 64-bit count of seconds, little-endian), for this process alone. The file is mapped, so a
// test moves the clock by writing to it. The monotonic clock stays the machine's.
// (libfaketime does the same for most programs; Envoy hangs under it before its first line.)
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *now;

__attribute__((constructor)) static void map_clock(void) {
  const char *file = getenv("CURFEW_CLOCK_FILE");
  int fd = file ? open(file, O_RDONLY) : -1;
  if (fd < 0) return;
  void *page = mmap(NULL, sizeof *now, PROT_READ, MAP_SHARED, fd, 0);
  if (page != MAP_FAILED) now = page;
  close(fd);
}

int clock_gettime(clockid_t id, struct timespec *ts) {
  if (!now || id != CLOCK_REALTIME) return (int)syscall(SYS_clock_gettime, id, ts);
  *ts = (struct timespec){.tv_sec = *now};
  return 0;
}

int gettimeofday(struct timeval *tv, void *zone) {
  (void)zone;
  struct timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  *tv = (struct timeval){.tv_sec = ts.tv_sec, .tv_usec = ts.tv_nsec / 1000};
  return 0;
}

time_t time(time_t *out) {
  struct timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  if (out) *out = ts.tv_sec;
  return ts.tv_sec;
}
