/* A fleet of closed servers in one process: every address of 127.0.0.0/8 answers on one port, as a closed server does: a mail
 * server takes postmaster and refuses every other recipient with 554; an HTTP server answers every request with 403 and keeps
 * the connection. Bound to the loopback device, and a peer that is not 127.x.y.z is dropped. For the benchmark only.
 *
 *     fleet smtp|smtp-pipelining|http PORT [SECONDS] [hold]
 *                                               prints "ready" once it listens; ends after SECONDS (default 600).
 *                                               "smtp-pipelining" offers PIPELINING (RFC 2920).
 *                                               With "hold" no RCPT and no HTTP request is ever answered: every client stays
 *                                               in the middle of its dialog. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kLine = 1024, kMaxFd = 65536 };

/* What was received of a line that has not ended yet, a connection. */
struct connection {
  unsigned length;
  int in_data;
  int in_head; /* a line of an HTTP request was received, and not its empty line yet */
  char line[kLine];
};
static struct connection* connections[kMaxFd];
static int http, pipelining, hold;

static const char* answer_http(struct connection* c, const char* line) {
  static const char forbidden[] =
      "HTTP/1.1 403 Forbidden\r\n"
      "Server: fleet\r\n"
      "Content-Type: text/html\r\n"
      "Content-Length: 49\r\n"
      "Connection: keep-alive\r\n"
      "\r\n"
      "<html><body><p>Access denied.</p></body></html>\r\n";
  const int ended = c->in_head && line[0] == '\0'; /* an empty line before a request is none (RFC 9112 2.2) */
  c->in_head = line[0] != '\0';
  return ended && !hold ? forbidden : "";
}

static const char* answer_smtp(struct connection* c, const char* line) {
  if (c->in_data) {
    if (strcmp(line, ".") != 0) return "";
    c->in_data = 0;
    return "250 2.0.0 Ok\r\n";
  }
  if (strncasecmp(line, "EHLO", 4) == 0) {
    return pipelining ? "250-mx.fleet.test\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES\r\n"
                      : "250-mx.fleet.test\r\n250-SIZE 10240000\r\n250 ENHANCEDSTATUSCODES\r\n";
  }
  if (strncasecmp(line, "RCPT", 4) == 0) {
    if (hold) return "";
    return strcasestr(line, "<postmaster") ? "250 2.1.5 Ok\r\n" : "554 5.7.1 Relay access denied\r\n";
  }
  if (strncasecmp(line, "DATA", 4) == 0) return "554 5.5.1 Error: no valid recipients\r\n";
  if (strncasecmp(line, "QUIT", 4) == 0) return "221 2.0.0 Bye\r\n";
  return "250 2.0.0 Ok\r\n";
}

static void drop(int fd) {
  free(connections[fd]);
  connections[fd] = NULL;
  close(fd);
}

/* Answers every whole line in `bytes` in one write. */
static void serve(int fd, const char* bytes, ssize_t n) {
  struct connection* c = connections[fd];
  char out[8192];
  size_t used = 0;
  int bye = 0;
  for (ssize_t i = 0; i < n; ++i) {
    if (bytes[i] != '\n') {
      if (c->length < kLine - 1) c->line[c->length++] = bytes[i];
      continue;
    }
    if (c->length > 0 && c->line[c->length - 1] == '\r') --c->length;
    c->line[c->length] = '\0';
    c->length = 0;
    const char* reply = http ? answer_http(c, c->line) : answer_smtp(c, c->line);
    size_t length = strlen(reply);
    if (used + length > sizeof out) break;
    memcpy(out + used, reply, length);
    used += length;
    if (strncmp(reply, "221", 3) == 0) bye = 1;
  }
  if (used > 0 && send(fd, out, used, MSG_NOSIGNAL) != (ssize_t)used) bye = 1;
  if (bye) drop(fd);
}

static void take(int listener, int loop) {
  for (;;) {
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    int fd = accept4(listener, (struct sockaddr*)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (ntohl(peer.sin_addr.s_addr) >> 24 != 127 || fd >= kMaxFd) {
      close(fd);
      continue;
    }
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connections[fd] = calloc(1, sizeof(struct connection));
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
    if (http) continue;
    static const char greeting[] = "220 mx.fleet.test ESMTP\r\n";
    if (send(fd, greeting, sizeof greeting - 1, MSG_NOSIGNAL) < 0) drop(fd);
  }
}

int main(int argc, char** argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: fleet smtp|smtp-pipelining|http PORT [SECONDS] [hold]\n");
    return 2;
  }
  http = strcmp(argv[1], "http") == 0;
  pipelining = strcmp(argv[1], "smtp-pipelining") == 0;
  alarm(argc > 3 ? (unsigned)atoi(argv[3]) : 600U);
  hold = argc > 4 && strcmp(argv[4], "hold") == 0;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  /* Any 127.x.y.z shall answer, so the socket is bound to no single address, but to the loopback device. */
  if (setsockopt(listener, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) != 0) {
    perror("fleet: cannot keep to the loopback device");
    return 1;
  }
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2])), .sin_addr.s_addr = htonl(INADDR_ANY)};
  if (bind(listener, (struct sockaddr*)&address, sizeof address) != 0 || listen(listener, 65535) != 0) {
    perror("fleet");
    return 1;
  }
  int loop = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
  epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event);
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[512];
    int n = epoll_wait(loop, events, 512, -1);
    for (int i = 0; i < n; ++i) {
      if (events[i].data.fd == listener) {
        take(listener, loop);
        continue;
      }
      char bytes[16384];
      ssize_t got = recv(events[i].data.fd, bytes, sizeof bytes, 0);
      if (got > 0) {
        serve(events[i].data.fd, bytes, got);
      } else if (got == 0 || errno != EAGAIN) {
        drop(events[i].data.fd);
      }
    }
  }
}
