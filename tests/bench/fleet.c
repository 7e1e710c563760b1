/* A fleet of servers in one process: every address of 127.0.0.0/8 answers on one port, as a closed server does: a mail server
 * takes postmaster and refuses every other recipient with 554; an HTTP server answers every request with 403 and keeps the
 * connection; a SOCKS server refuses by its rules. Bound to the loopback device, and a peer that is not 127.x.y.z is dropped.
 * For the benchmark only.
 *
 *     fleet smtp|smtp-pipelining|http|socks PORT SECONDS [hold] [tls] [mix] [poll]
 *
 * Prints "ready" once it listens, and ends after SECONDS. "smtp-pipelining" offers PIPELINING (RFC 2920).
 *   hold  no RCPT and no HTTP request is ever answered: every client stays in the middle of its dialog
 *   tls   TLS before the first byte, with a certificate that is made at the start (P-256)
 *   mix   of a hundred mail servers 1 is open, 94 are closed, 2 take 200 ms for each reply (or for all the replies to commands
 *         that came together), 1 says garbage, 1 hangs up at once and 1 greylists, by a hash of the address
 *   poll  while there is anything to do it does not sleep: to wake a sleeper costs the one who writes to it, which on one
 *         machine is the client, and the slower client more often
 *
 * At SIGUSR1 it prints what it has seen since the last one:
 *
 *     connections N requests N slowest_s S
 *
 * requests: lines, of HTTP and SOCKS requests; S: the longest time that one address let its clients wait in all. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kIdlePolls = 20000, kLine = 1024, kMaxFd = 65536, kOut = 16384, kSlowMs = 200, kAddresses = 1 << 18 };

enum persona { closed, is_open, slow, garbage, drops, greylists };

struct connection {
  SSL* tls;
  enum persona persona;
  uint32_t address; /* ours, as far as kAddresses tells them apart */
  unsigned serial;  /* tells it from another one with the same descriptor */
  int shaken;       /* the TLS handshake is done */
  int in_head;      /* a line of an HTTP request was received, and not its empty line yet */
  int chosen;       /* SOCKS 5: the method was answered */
  unsigned length;  /* what was received of a line that has not ended yet */
  char line[kLine];
};
static struct connection* connections[kMaxFd];
static int http, socks, pipelining, hold, poll, mix;
static SSL_CTX* tls;
static unsigned serials;

static unsigned long seen_connections, seen_requests;
static unsigned waited_ms[kAddresses];
static volatile sig_atomic_t asked_for_counts;

/* What slow servers will say, in the order in which it is due. */
struct late {
  struct late* next;
  long due_ms;
  int fd;
  unsigned serial;
  int bye;
  size_t length;
  char bytes[];
};
static struct late *first_late, **last_late = &first_late;

static long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void ask_for_counts(int signal_number) {
  (void)signal_number;
  asked_for_counts = 1;
}

static void print_counts(void) {
  unsigned slowest = 0;
  for (int i = 0; i < kAddresses; ++i) {
    if (waited_ms[i] > slowest) slowest = waited_ms[i];
    waited_ms[i] = 0;
  }
  printf("connections %lu requests %lu slowest_s %.1f\n", seen_connections, seen_requests, slowest / 1000.0);
  fflush(stdout);
  seen_connections = seen_requests = 0;
  asked_for_counts = 0;
}

static void drop(int fd) {
  SSL_free(connections[fd]->tls);
  free(connections[fd]);
  connections[fd] = NULL;
  close(fd);
}

/* Returns 0 when it did not all go out. */
static int send_now(int fd, const char* bytes, size_t n) {
  if (connections[fd]->tls) return SSL_write(connections[fd]->tls, bytes, (int)n) == (int)n;
  return send(fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static void say(int fd, const char* bytes, size_t n, int bye) {
  const struct connection* c = connections[fd];
  if (c->persona == slow && n > 0) {
    struct late* late = malloc(sizeof *late + n);
    *late = (struct late){.due_ms = now_ms() + kSlowMs, .fd = fd, .serial = c->serial, .bye = bye, .length = n};
    memcpy(late->bytes, bytes, n);
    *last_late = late;
    last_late = &late->next;
    waited_ms[c->address] += kSlowMs;
  } else if ((n > 0 && !send_now(fd, bytes, n)) || bye) {
    drop(fd);
  }
}

/* Says what is due. Returns the milliseconds until the next is, -1: nothing waits. */
static int say_late(void) {
  while (first_late) {
    struct late* late = first_late;
    const long wait = late->due_ms - now_ms();
    if (wait > 0) return (int)wait;
    first_late = late->next;
    if (!first_late) last_late = &first_late;
    const struct connection* c = connections[late->fd];
    if (c && c->serial == late->serial && (!send_now(late->fd, late->bytes, late->length) || late->bye)) drop(late->fd);
    free(late);
  }
  return -1;
}

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
  if (ended) ++seen_requests;
  return ended && !hold ? forbidden : "";
}

static const char* answer_rcpt(const struct connection* c, const char* line) {
  if (hold) return "";
  if (c->persona == greylists) return "450 4.2.0 Greylisted, try again later\r\n";
  if (c->persona == is_open || strcasestr(line, "<postmaster")) return "250 2.1.5 Ok\r\n";
  return "554 5.7.1 Relay access denied\r\n";
}

static const char* answer_smtp(const struct connection* c, const char* line) {
  ++seen_requests;
  if (strncasecmp(line, "EHLO", 4) == 0) {
    return pipelining ? "250-mx.fleet.test\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES\r\n"
                      : "250-mx.fleet.test\r\n250-SIZE 10240000\r\n250 ENHANCEDSTATUSCODES\r\n";
  }
  if (strncasecmp(line, "RCPT", 4) == 0) return answer_rcpt(c, line);
  if (strncasecmp(line, "DATA", 4) == 0) return "554 5.5.1 Error: no valid recipients\r\n";
  if (strncasecmp(line, "QUIT", 4) == 0) return "221 2.0.0 Bye\r\n";
  return "250 2.0.0 Ok\r\n";
}

static void serve_socks(int fd, const char* bytes) {
  struct connection* c = connections[fd];
  if (bytes[0] == 5 && !c->chosen) {
    c->chosen = 1;
    say(fd, "\5\0", 2, 0);
    return;
  }
  ++seen_requests;
  if (bytes[0] == 5) {
    say(fd, "\5\2\0\1\0\0\0\0\0\0", 10, 1);
  } else {
    say(fd, "\0\x5b\0\0\0\0\0\0", 8, 1);
  }
}

/* Answers every whole line in `bytes` in one write. */
static void serve(int fd, const char* bytes, ssize_t n) {
  struct connection* c = connections[fd];
  if (c->persona == garbage) {
    ++seen_requests;
    static const char noise[] = "\x91\xfe\x03 what\x80 is\xff this\r\n";
    say(fd, noise, sizeof noise - 1, 0);
    return;
  }
  if (socks) {
    serve_socks(fd, bytes);
    return;
  }
  char out[kOut];
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
  say(fd, out, used, bye);
}

static void greet(int fd) {
  static const char greeting[] = "220 mx.fleet.test ESMTP\r\n";
  if (!http && !socks) say(fd, greeting, sizeof greeting - 1, 0);
}

static enum persona persona_of(uint32_t address) {
  if (!mix) return closed;
  const uint32_t mixed = address * 2654435761U;
  const uint32_t of_hundred = (mixed ^ (mixed >> 15)) % 100;
  if (of_hundred < 94) return closed;
  return of_hundred < 95 ? is_open : of_hundred < 97 ? slow : of_hundred < 98 ? garbage : of_hundred < 99 ? drops : greylists;
}

static void take(int listener, int loop) {
  for (;;) {
    struct sockaddr_in peer, own;
    socklen_t length = sizeof peer, own_length = sizeof own;
    int fd = accept4(listener, (struct sockaddr*)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (ntohl(peer.sin_addr.s_addr) >> 24 != 127 || fd >= kMaxFd || getsockname(fd, (struct sockaddr*)&own, &own_length) != 0) {
      close(fd);
      continue;
    }
    ++seen_connections;
    const uint32_t address = ntohl(own.sin_addr.s_addr);
    const enum persona persona = persona_of(address);
    if (persona == drops) {
      close(fd);
      continue;
    }
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct connection* c = connections[fd] = calloc(1, sizeof *c);
    c->persona = persona;
    c->address = address % kAddresses;
    c->serial = ++serials;
    if (tls) {
      c->tls = SSL_new(tls);
      SSL_set_fd(c->tls, fd);
      SSL_set_accept_state(c->tls);
    }
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
    if (!tls) greet(fd);
  }
}

static void hear_tls(int fd) {
  struct connection* c = connections[fd];
  if (!c->shaken) {
    const int result = SSL_do_handshake(c->tls);
    if (result != 1) {
      if (SSL_get_error(c->tls, result) != SSL_ERROR_WANT_READ) drop(fd);
      return;
    }
    c->shaken = 1;
    greet(fd);
  }
  while (connections[fd]) {
    char bytes[16384];
    const int got = SSL_read(c->tls, bytes, sizeof bytes);
    if (got > 0) {
      serve(fd, bytes, got);
    } else {
      if (SSL_get_error(c->tls, got) != SSL_ERROR_WANT_READ) drop(fd);
      return;
    }
  }
}

static void hear(int fd) {
  if (connections[fd]->tls) {
    hear_tls(fd);
    return;
  }
  char bytes[16384];
  ssize_t got = recv(fd, bytes, sizeof bytes, 0);
  if (got > 0) {
    serve(fd, bytes, got);
  } else if (got == 0 || errno != EAGAIN) {
    drop(fd);
  }
}

static SSL_CTX* make_tls(void) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char*)"mx.fleet.test", -1,
                             -1, 0);
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  X509_set_pubkey(certificate, key);
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  if (!key || X509_sign(certificate, key, EVP_sha256()) == 0 || SSL_CTX_use_certificate(context, certificate) != 1 ||
      SSL_CTX_use_PrivateKey(context, key) != 1) {
    fprintf(stderr, "fleet: no certificate could be made\n");
    exit(1);
  }
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  return context;
}

static int listen_on(int port) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  /* Any 127.x.y.z shall answer, so the socket is bound to no single address, but to the loopback device. */
  if (setsockopt(listener, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) != 0) {
    perror("fleet: cannot keep to the loopback device");
    exit(1);
  }
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_ANY)};
  if (bind(listener, (struct sockaddr*)&address, sizeof address) != 0 || listen(listener, 65535) != 0) {
    perror("fleet");
    exit(1);
  }
  return listener;
}

int main(int argc, char** argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: fleet smtp|smtp-pipelining|http|socks PORT SECONDS [hold] [tls] [mix] [poll]\n");
    return 2;
  }
  http = strcmp(argv[1], "http") == 0;
  socks = strcmp(argv[1], "socks") == 0;
  pipelining = strcmp(argv[1], "smtp-pipelining") == 0;
  alarm((unsigned)atoi(argv[3]));
  for (int i = 4; i < argc; ++i) {
    if (strcmp(argv[i], "hold") == 0) hold = 1;
    if (strcmp(argv[i], "mix") == 0) mix = 1;
    if (strcmp(argv[i], "poll") == 0) poll = 1;
    if (strcmp(argv[i], "tls") == 0) tls = make_tls();
  }
  signal(SIGPIPE, SIG_IGN);
  const struct sigaction counts = {.sa_handler = ask_for_counts};
  sigaction(SIGUSR1, &counts, NULL);
  sigset_t waiting, working; /* SIGUSR1 comes while the loop waits, at no other time */
  sigemptyset(&working);
  sigaddset(&working, SIGUSR1);
  sigprocmask(SIG_BLOCK, &working, &waiting);
  const int listener = listen_on(atoi(argv[2]));
  const int loop = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
  epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event);
  printf("ready\n");
  fflush(stdout);
  for (int idle = 0;;) {
    struct epoll_event events[512];
    const int polls = poll && idle < kIdlePolls;
    const int n = epoll_pwait(loop, events, 512, polls ? 0 : say_late(), &waiting);
    idle = n == 0 ? idle + 1 : 0;
    if (polls && n == 0) sched_yield(); /* to another fleet on this core */
    if (asked_for_counts) print_counts();
    for (int i = 0; i < n; ++i) {
      if (events[i].data.fd == listener) {
        take(listener, loop);
      } else if (connections[events[i].data.fd]) {
        hear(events[i].data.fd);
      }
    }
  }
}
