/* The physical limit that the benchmark compares ajar with: a plain C client on epoll, without timeouts, verdicts or
 * transcripts, that holds the dialog of one probe with each of HOSTS addresses and says the bytes of FILE.
 *
 *     limit smtp|http FILE HOSTS IN_FLIGHT PORT     FILE as `probe_bench … dialog` prints it
 *
 * smtp: it sends the next line when the reply to the last one is whole; lines after one that begins with '+' go with it, up to
 * one that begins without, and each has its reply (RFC 2920). A line QUIT ends a connection; lines after it start the next one
 * to the same host.
 * http: a request ends with an empty line (more of them belong to it), and each has a connection of its own, which the client
 * closes when the reply is whole: its head, and as much content as that announces.
 *
 * The first IN_FLIGHT hosts are asked once before, unmeasured: memory that is touched for the first time is no part of a
 * dialog.
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

enum { kMaxRequests = 512, kMaxFd = 65536 };

/* What is sent at once. */
struct request {
  char* bytes;
  size_t length;
  int replies;
  int last; /* of its connection */
};
static struct request requests[kMaxRequests];
static int request_count;

struct dialog {
  int next;    /* the request to send at the next whole reply, */
  int replies; /* but for so many */
  int last;    /* the last one was sent on this connection */
  uint32_t host;
  int column;  /* in the current reply line */
  char fourth; /* smtp: its fourth character: ' ' ends a reply */
  int length;  /* http: how much of the line is "content-length:" */
  int content; /* http: how much content follows the head */
  int in_content;
};
static struct dialog dialogs[kMaxFd];
static int loop, port, http, failed;
static unsigned long replies;

static void append(struct request* to, const char* line, size_t n) {
  to->bytes = realloc(to->bytes, to->length + n + 2);
  memcpy(to->bytes + to->length, line, n);
  memcpy(to->bytes + to->length + n, "\r\n", 2);
  to->length += n + 2;
}

static void read_dialog(const char* path) {
  FILE* file = fopen(path, "r");
  if (!file) {
    perror(path);
    exit(2);
  }
  char line[2048];
  int in_head = 0; /* http: a request was begun */
  while (request_count < kMaxRequests && fgets(line, sizeof line, file)) {
    size_t n = strcspn(line, "\r\n");
    if (!http) {
      const int more = line[0] == '+';
      requests[request_count].last = n == 4 && memcmp(line, "QUIT", 4) == 0;
      ++requests[request_count].replies;
      append(&requests[request_count], line + more, n - (size_t)more);
      if (!more) ++request_count;
    } else if (n > 0 || in_head || request_count == 0) {
      requests[request_count].last = requests[request_count].replies = 1;
      append(&requests[request_count], line, n);
      in_head = n > 0;
      if (!in_head) ++request_count;
    } else {
      append(&requests[request_count - 1], line, n);
    }
  }
  fclose(file);
  if (request_count == 0 || !requests[request_count - 1].last || in_head) {
    fprintf(stderr, "limit: the dialog must end in QUIT or an empty line\n");
    exit(2);
  }
}

/* Starts a connection of the dialog with `host` at request `next`. */
static void dial(uint32_t host, int next) {
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
  dialogs[fd] = (struct dialog){.next = next, .host = host};
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
  if (http) event.events |= EPOLLOUT; /* the client speaks first */
  epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
}

/* Ends a connection. Returns 1 when the whole dialog with this host has ended. */
static int hang_up(int fd) {
  struct dialog d = dialogs[fd];
  close(fd);
  if (!d.last) ++failed;
  if (!d.last || d.next == request_count) return 1;
  dial(d.host, d.next);
  return 0;
}

static int ask(int fd) {
  struct dialog* d = &dialogs[fd];
  const struct request* request = &requests[d->next];
  if (send(fd, request->bytes, request->length, MSG_NOSIGNAL) != (ssize_t)request->length) return 0;
  ++d->next;
  d->replies = request->replies - 1;
  d->last = request->last;
  return 1;
}

/* Takes one byte of a reply. Returns 1 when the reply is whole. */
static int take_smtp(struct dialog* d, char byte) {
  if (d->column == 3) d->fourth = byte;
  ++d->column;
  if (byte != '\n') return 0;
  d->column = 0;
  return d->fourth != '-';
}

static int take_http(struct dialog* d, char byte) {
  static const char name[] = "content-length:";
  const int named = sizeof name - 1;
  if (d->in_content) return --d->content == 0;
  if (byte == '\r') return 0;
  if (byte == '\n') {
    d->in_content = d->column == 0;
    d->column = d->length = 0;
    return d->in_content && d->content == 0;
  }
  if (d->length == named && byte >= '0' && byte <= '9') d->content = d->content * 10 + byte - '0';
  if (d->length < named && d->length == d->column && (byte | 0x20) == name[d->length]) ++d->length;
  ++d->column;
  return 0;
}

/* Reads what is there. Returns 1 when the whole dialog with this host has ended. */
static int advance(int fd) {
  struct dialog* d = &dialogs[fd];
  for (;;) {
    char bytes[4096];
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n <= 0) { /* the server hung up: right after QUIT only */
      if (http) d->last = 0;
      return hang_up(fd);
    }
    for (ssize_t i = 0; i < n; ++i) {
      if (!(http ? take_http(d, bytes[i]) : take_smtp(d, bytes[i]))) continue;
      ++replies;
      if (http) return hang_up(fd);
      if (d->replies > 0 && d->replies--) continue;
      if (d->last) continue; /* the goodbye; end of stream follows */
      if (d->next < request_count && !ask(fd)) return hang_up(fd);
    }
  }
}

/* http: the connection stands, or something came. */
static int react(int fd, unsigned events) {
  struct dialog* d = &dialogs[fd];
  if (!http || d->last) return advance(fd);
  if ((events & EPOLLOUT) == 0 || !ask(fd)) return hang_up(fd);
  return 0;
}

static double cpu_microseconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* Those from `first` on. */
static void ask_hosts(uint32_t first, uint32_t hosts, uint32_t in_flight) {
  const uint32_t last = first + hosts;
  uint32_t started = first, ended = first;
  while (started < last && started - first < in_flight) dial(started++, 0);
  while (ended < last) {
    struct epoll_event events[512];
    int n = epoll_wait(loop, events, 512, -1);
    for (int i = 0; i < n; ++i) {
      if (!react(events[i].data.fd, events[i].events)) continue;
      ++ended;
      if (started < last) dial(started++, 0);
    }
  }
}

int main(int argc, char** argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: limit smtp|http FILE HOSTS IN_FLIGHT PORT\n");
    return 2;
  }
  http = strcmp(argv[1], "http") == 0;
  read_dialog(argv[2]);
  const uint32_t hosts = (uint32_t)atoi(argv[3]), in_flight = (uint32_t)atoi(argv[4]);
  port = atoi(argv[5]);
  loop = epoll_create1(EPOLL_CLOEXEC);
  ask_hosts(0, hosts < in_flight ? hosts : in_flight, in_flight); /* the start of the program is no part of a dialog */
  replies = 0;
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  const double before = cpu_microseconds();
  ask_hosts(0, hosts, in_flight);
  clock_gettime(CLOCK_MONOTONIC, &end);
  double cpu = cpu_microseconds() - before;
  double wall = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
  printf("limit hosts %u cpu_us_per_host %.1f wall_s %.3f replies %lu\n", hosts, cpu / hosts, wall, replies);
  if (failed) fprintf(stderr, "limit: %d dialogs broke off\n", failed);
  return failed ? 1 : 0;
}
