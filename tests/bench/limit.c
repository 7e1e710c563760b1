/* The physical limit that the benchmark compares ajar with: a plain C client on epoll, without timeouts, verdicts or
 * transcripts, that holds the dialog of one probe with each of HOSTS addresses, line by line: it sends the next line of FILE
 * when the reply to the last one is whole. A line QUIT ends a connection; lines after it start the next one to the same host.
 *
 *     limit FILE HOSTS IN_FLIGHT PORT     FILE as `smtp_bench --print-dialog` prints it
 *
 * Prints: limit hosts H cpu_us_per_host C wall_s W replies R     (CPU: user + system, of this process alone) */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kMaxLines = 512, kMaxFd = 65536 };

static char* lines[kMaxLines];
static size_t lengths[kMaxLines];
static int quits[kMaxLines];
static int line_count;

struct dialog {
  int next; /* the line to send at the next whole reply */
  int quit; /* QUIT was sent on this connection */
  uint32_t host;
  int column;  /* in the current reply line */
  char fourth; /* its fourth character: ' ' ends a reply */
};
static struct dialog dialogs[kMaxFd];
static int loop, port, failed;
static unsigned long replies;

static void read_dialog(const char* path) {
  FILE* file = fopen(path, "r");
  if (!file) {
    perror(path);
    exit(2);
  }
  char line[2048];
  while (line_count < kMaxLines && fgets(line, sizeof line, file)) {
    size_t n = strcspn(line, "\r\n");
    lines[line_count] = malloc(n + 3);
    memcpy(lines[line_count], line, n);
    memcpy(lines[line_count] + n, "\r\n", 3);
    lengths[line_count] = n + 2;
    quits[line_count] = n == 4 && memcmp(line, "QUIT", 4) == 0;
    ++line_count;
  }
  fclose(file);
}

/* Starts a connection of the dialog with `host` at `line`. */
static void dial(uint32_t host, int line) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || fd >= kMaxFd) {
    perror("socket");
    exit(1);
  }
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(0x7f0a0000U + host)};
  if (connect(fd, (struct sockaddr*)&to, sizeof to) != 0 && errno != EINPROGRESS) {
    perror("connect");
    exit(1);
  }
  dialogs[fd] = (struct dialog){.next = line, .host = host};
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
  epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
}

/* Reads what is there. Returns 1 when the whole dialog with this host has ended. */
static int advance(int fd) {
  struct dialog* d = &dialogs[fd];
  for (;;) {
    char bytes[4096];
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n <= 0) { /* the server hung up: right after QUIT only */
      int line = d->next;
      uint32_t host = d->host;
      close(fd);
      if (!d->quit) ++failed;
      if (!d->quit || line == line_count) return 1;
      dial(host, line);
      return 0;
    }
    for (ssize_t i = 0; i < n; ++i) {
      if (d->column == 3) d->fourth = bytes[i];
      ++d->column;
      if (bytes[i] != '\n') continue;
      int whole = d->fourth != '-';
      d->column = 0;
      if (!whole) continue;
      ++replies;
      if (d->quit) continue; /* the goodbye; end of stream follows */
      if (d->next < line_count) {
        if (send(fd, lines[d->next], lengths[d->next], MSG_NOSIGNAL) != (ssize_t)lengths[d->next]) {
          ++failed;
          close(fd);
          return 1;
        }
        d->quit = quits[d->next++];
      }
    }
  }
}

int main(int argc, char** argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: limit FILE HOSTS IN_FLIGHT PORT\n");
    return 2;
  }
  read_dialog(argv[1]);
  uint32_t hosts = (uint32_t)atoi(argv[2]), in_flight = (uint32_t)atoi(argv[3]), started = 0, ended = 0;
  port = atoi(argv[4]);
  if (line_count == 0 || !quits[line_count - 1]) {
    fprintf(stderr, "limit: the dialog must end in QUIT\n");
    return 2;
  }
  loop = epoll_create1(EPOLL_CLOEXEC);
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  while (started < hosts && started < in_flight) dial(started++, 0);
  while (ended < hosts) {
    struct epoll_event events[512];
    int n = epoll_wait(loop, events, 512, -1);
    for (int i = 0; i < n; ++i) {
      if (!advance(events[i].data.fd)) continue;
      ++ended;
      if (started < hosts) dial(started++, 0);
    }
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  double cpu =
      (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  double wall = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
  printf("limit hosts %u cpu_us_per_host %.1f wall_s %.3f replies %lu\n", hosts, cpu / hosts, wall, replies);
  if (failed) fprintf(stderr, "limit: %d dialogs broke off\n", failed);
  return failed ? 1 : 0;
}
