#include "agent/web_settings.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <system_error>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "config/values.h"

namespace ajar {
namespace {

constexpr std::size_t kLargestPem = 1024 * 1024;
constexpr const char* kStrongCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";

template <class T, void (*free)(T*)>
struct Free {
  void operator()(T* value) const { free(value); }
};
void free_bio(BIO* bio) { BIO_free(bio); }
using Bio = std::unique_ptr<BIO, Free<BIO, free_bio>>;
using Certificate = std::unique_ptr<X509, Free<X509, X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY, EVP_PKEY_free>>;

// What() continues "`tls_server_config.cert_file` = `x` ".
class PemError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Device, inode, size and times of each file: a change shows in one of them.
std::string stamp_of(const std::vector<std::string>& paths) {
  std::string stamp;
  for (const std::string& path : paths) {
    struct stat status{};
    if (stat(path.c_str(), &status) != 0) {
      stamp += "absent;";
      continue;
    }
    stamp += fmt::format("{}.{}.{}.{}.{}.{}.{};", status.st_dev, status.st_ino, status.st_size, status.st_mtim.tv_sec,
                         status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec);
  }
  return stamp;
}

// The text of a certificate or key. PemError.
std::string read_pem(const WebFile& file, const PemSource& source) {
  if (source.file.empty()) return source.text;
  const std::string path = file.path(source.file);
  struct stat status{};
  errno = 0;
  if (stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
    throw PemError("is not a file: name one with PEM text in it");
  std::ifstream in(path, std::ios::binary);
  std::string text;
  std::array<char, 16384> block{};
  while (in && text.size() <= kLargestPem) {
    in.read(block.data(), block.size());
    text.append(block.data(), static_cast<std::size_t>(in.gcount()));
  }
  if (text.size() > kLargestPem) throw PemError("is larger than 1 MiB: name the PEM file of one certificate or key");
  if (!in.eof()) {
    throw PemError(
        fmt::format("cannot be read: {}; paths are relative to the folder of web.yml, and the user that ajar runs as must be "
                    "able to read it",
                    std::generic_category().message(errno != 0 ? errno : EIO)));
  }
  return text;
}

Bio bio_of(const std::string& text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

std::vector<Certificate> certificates_in(const std::string& text) {
  const Bio bio = bio_of(text);
  std::vector<Certificate> found;
  while (X509* one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) found.emplace_back(one);
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!at_end && !found.empty()) throw PemError("has a certificate that cannot be decoded: make the file again");
  if (found.empty())
    throw PemError("has no certificate in it: it needs lines from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----");
  return found;
}

// Without it OpenSSL would ask for the passphrase of an encrypted key at the terminal.
int no_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) { return -1; }

Key key_in(const std::string& text) {
  const Bio bio = bio_of(text);
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  ERR_clear_error();
  if (!key && text.find("ENCRYPTED") != std::string::npos)
    throw PemError("has a passphrase, which nobody could type: store it without one (openssl pkey), readable for ajar alone");
  if (!key) throw PemError("has no key in it: it needs lines from -----BEGIN PRIVATE KEY----- to -----END PRIVATE KEY-----");
  return key;
}

// The names of a certificate, as client_allowed_sans lists them.
std::vector<std::string> names_of(X509* certificate) {
  std::vector<std::string> names;
  auto* const all = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(all); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(all, i);
    const ASN1_STRING* text = name->type == GEN_DNS     ? name->d.dNSName
                              : name->type == GEN_EMAIL ? name->d.rfc822Name
                              : name->type == GEN_URI   ? name->d.uniformResourceIdentifier
                              : name->type == GEN_IPADD ? name->d.iPAddress
                                                        : nullptr;
    if (text == nullptr) continue;
    std::string bytes(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                      static_cast<std::size_t>(ASN1_STRING_length(text)));
    if (name->type == GEN_IPADD) {
      std::array<char, INET6_ADDRSTRLEN> shown{};
      const int family = bytes.size() == 4 ? AF_INET : AF_INET6;
      if (bytes.size() != 4 && bytes.size() != 16) continue;
      inet_ntop(family, bytes.data(), shown.data(), shown.size());
      bytes = shown.data();
    }
    names.push_back(std::move(bytes));
  }
  GENERAL_NAMES_free(all);
  return names;
}

bool is_allowed(const WebTls& tls, X509* certificate) {
  if (tls.client_allowed_sans.empty()) return true;
  const std::vector<std::string> names = names_of(certificate);
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return std::find(tls.client_allowed_sans.begin(), tls.client_allowed_sans.end(), name) != tls.client_allowed_sans.end();
  });
}

// Decides on a client's certificate. `user`: the WebTls.
int verify_client(X509_STORE_CTX* context, void* user) {
  const auto& tls = *static_cast<const WebTls*>(user);
  const bool verifies = tls.client_auth == ClientAuth::verify_if_given || tls.client_auth == ClientAuth::require_and_verify;
  if (verifies && X509_verify_cert(context) != 1) return 0;
  if (is_allowed(tls, X509_STORE_CTX_get0_cert(context))) {
    X509_STORE_CTX_set_error(context, X509_V_OK);
    return 1;
  }
  X509_STORE_CTX_set_error(context, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

// Whether the peer is a program on this machine: from a loopback address, or from the address that it connected to.
bool is_on_this_machine(int fd) {
  sockaddr_storage here{}, there{};
  socklen_t here_size = sizeof here, there_size = sizeof there;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&here), &here_size) != 0) return false;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&there), &there_size) != 0 || here.ss_family != there.ss_family) return false;
  if (here.ss_family == AF_INET) {
    const in_addr& peer = reinterpret_cast<const sockaddr_in&>(there).sin_addr;
    return (ntohl(peer.s_addr) >> 24) == 127 || peer.s_addr == reinterpret_cast<const sockaddr_in&>(here).sin_addr.s_addr;
  }
  if (here.ss_family != AF_INET6) return false;
  const in6_addr& peer = reinterpret_cast<const sockaddr_in6&>(there).sin6_addr;
  if (IN6_IS_ADDR_LOOPBACK(&peer) || (IN6_IS_ADDR_V4MAPPED(&peer) && peer.s6_addr[12] == 127)) return true;
  return std::memcmp(&peer, &reinterpret_cast<const sockaddr_in6&>(here).sin6_addr, sizeof peer) == 0;
}

int choose_protocol(SSL* ssl, const unsigned char** out, unsigned char* out_size, const unsigned char* offered, unsigned size,
                    void* /*user*/) {
  const auto offers = [&](std::string_view name) {
    for (unsigned at = 0; at < size; at += offered[at] + 1U) {
      if (offered[at] != name.size() || at + 1 + name.size() > size) continue;
      if (std::memcmp(offered + at + 1, name.data(), name.size()) != 0) continue;
      *out = offered + at + 1;
      *out_size = static_cast<unsigned char>(name.size());
      return true;
    }
    return false;
  };
  if (is_on_this_machine(SSL_get_fd(ssl)) && offers(kOwnProtocol)) {
    SSL_set_verify(ssl, SSL_VERIFY_NONE, nullptr);
    return SSL_TLSEXT_ERR_OK;
  }
  return offers("http/1.1") ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

std::string join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ":") + word;
  return out;
}

int verify_mode(ClientAuth auth) {
  switch (auth) {
    case ClientAuth::none:
      return SSL_VERIFY_NONE;
    case ClientAuth::request:
    case ClientAuth::verify_if_given:
      return SSL_VERIFY_PEER;
    case ClientAuth::require_any:
    case ClientAuth::require_and_verify:
      break;
  }
  return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
}

void set_options(SSL_CTX* context, const WebTls& tls) {
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  if (tls.prefer_server_ciphers) SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // Without resumption every connection shows its certificate anew, after a reload too.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_min_proto_version(context, tls.min_version == 13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(context, tls.max_version == 13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(context, tls.ciphers.empty() ? kStrongCiphers : join(tls.ciphers).c_str());
  if (!tls.groups.empty()) SSL_CTX_set1_groups_list(context, join(tls.groups).c_str());
  SSL_CTX_set_verify(context, verify_mode(tls.client_auth), nullptr);
  SSL_CTX_set_cert_verify_callback(context, verify_client, const_cast<WebTls*>(&tls));
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
}

// Loads what one key names, and says what is wrong with it at its place.
class PemLoader {
 public:
  PemLoader(WebSettings& settings, std::vector<ConfigError>& errors) : settings_(settings), errors_(errors) {}

  template <class Use>
  void load(const char* key, const PemSource& source, Use use) {
    if (!source.is_set()) return;
    try {
      use(read_pem(settings_.file, source));
    } catch (const PemError& error) {
      errors_.push_back({settings_.file.file, source.line, source.column, sentence(key, source, error.what())});
    }
  }
  void warn(const char* key, const PemSource& source, std::string_view what) {
    settings_.file.warnings.push_back({settings_.file.file, source.line, source.column, sentence(key, source, what)});
  }

 private:
  static std::string sentence(const char* key, const PemSource& source, std::string_view what) {
    if (source.file.empty()) return fmt::format("`tls_server_config.{}` {}", key, what);
    return fmt::format("`tls_server_config.{}_file` = {} {}", key, quote(source.file), what);
  }

  WebSettings& settings_;
  std::vector<ConfigError>& errors_;
};

void use_certificates(SSL_CTX* context, const std::string& text) {
  const std::vector<Certificate> chain = certificates_in(text);
  if (SSL_CTX_use_certificate(context, chain.front().get()) != 1) {
    ERR_clear_error();
    throw PemError(
        "has a certificate that cannot be used: its key is too weak, or of an unknown kind; make one with an EC P-256 or an "
        "RSA key of 2048 bits");
  }
  for (std::size_t i = 1; i < chain.size(); ++i) SSL_CTX_add1_chain_cert(context, chain[i].get());
}

void use_key(SSL_CTX* context, const std::string& text) {
  const Key key = key_in(text);
  // With no certificate the error is said there.
  if (SSL_CTX_get0_certificate(context) == nullptr) return;
  const bool right = SSL_CTX_use_PrivateKey(context, key.get()) == 1 && SSL_CTX_check_private_key(context) == 1;
  ERR_clear_error();
  if (!right) throw PemError("is not the key of the certificate: put the two that were made together");
}

void use_client_ca(SSL_CTX* context, const std::string& text) {
  for (const Certificate& authority : certificates_in(text)) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get());
    SSL_CTX_add_client_CA(context, authority.get());
  }
  ERR_clear_error();
}

// RFC 5280 4.1.2.5. nullopt where the certificate has none that can be read.
std::optional<Time> expiry_of(const X509* certificate) {
  tm parts{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1) return std::nullopt;
  return Time(std::chrono::seconds(timegm(&parts)));
}

void load_tls(WebSettings& settings, std::vector<ConfigError>& errors) {
  if (!settings.file.tls) return;
  const WebTls& tls = *settings.file.tls;
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (!context) throw std::bad_alloc();
  PemLoader loader(settings, errors);
  loader.load("cert", tls.certificate, [&](const std::string& text) { use_certificates(context.get(), text); });
  loader.load("key", tls.key, [&](const std::string& text) { use_key(context.get(), text); });
  loader.load("client_ca", tls.client_ca, [&](const std::string& text) { use_client_ca(context.get(), text); });
  if (!errors.empty()) return;
  set_options(context.get(), tls);
  if (X509_cmp_current_time(X509_get0_notAfter(SSL_CTX_get0_certificate(context.get()))) < 0) {
    loader.warn("cert", tls.certificate, "has expired: clients will refuse it");
  }
  struct stat status{};
  const std::string key_path = settings.file.path(tls.key.file);
  if (!tls.key.file.empty() && stat(key_path.c_str(), &status) == 0 && (status.st_mode & S_IROTH) != 0) {
    loader.warn("key", tls.key, fmt::format("can be read by every user of this machine: chmod o-r {}", key_path));
  }
  settings.expiry = expiry_of(SSL_CTX_get0_certificate(context.get()));
  settings.tls = std::move(context);
}

bool demands_certificate(const WebFile& file) {
  return file.tls &&
         (file.tls->client_auth == ClientAuth::require_any || file.tls->client_auth == ClientAuth::require_and_verify);
}

// What `after` no longer asks for; empty when nothing.
std::string_view what_is_gone(const WebFile& before, const WebFile& after) {
  if (before.tls && !after.tls) return "TLS";
  if (!before.users.empty() && after.users.empty()) return "all users";
  if (demands_certificate(before) && !demands_certificate(after)) return "client certificates";
  return {};
}

std::string lines_of(const std::vector<ConfigError>& errors) {
  std::string text;
  for (const ConfigError& error : errors) text += (text.empty() ? "" : "\n") + error.to_string();
  return text;
}

}  // namespace

LoadedWebSettings load_web_settings(const std::string& file) {
  LoadedWebSettings loaded;
  const auto settings = std::make_shared<WebSettings>();
  if (file.empty()) {
    loaded.settings = settings;
    return loaded;
  }
  loaded.paths = {file};
  loaded.stamp = stamp_of(loaded.paths);
  auto parsed = load_web_file(file);
  if (auto* errors = std::get_if<std::vector<ConfigError>>(&parsed)) {
    loaded.errors = std::move(*errors);
    return loaded;
  }
  settings->file = std::move(std::get<WebFile>(parsed));
  if (const auto& tls = settings->file.tls) {
    for (const PemSource* source : {&tls->certificate, &tls->key, &tls->client_ca}) {
      if (source->file.empty()) continue;
      loaded.paths.push_back(settings->file.path(source->file));
      loaded.stamp += stamp_of({loaded.paths.back()});
    }
  }
  load_tls(*settings, loaded.errors);
  if (loaded.errors.empty()) loaded.settings = settings;
  return loaded;
}

bool is_own_client(const SSL* ssl) {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl, &name, &size);
  return size > 0 && std::string_view(reinterpret_cast<const char*>(name), size) == kOwnProtocol;
}

LiveWebSettings::LiveWebSettings(std::string file, LoadedWebSettings loaded, std::function<Steady::time_point()> now)
    : file_(std::move(file)), now_(std::move(now)), next_look_(now_()) {
  take_over(std::move(loaded));
}

void LiveWebSettings::take_over(LoadedWebSettings loaded) {
  for (const ConfigError& warning : loaded.settings->file.warnings) spdlog::warn("{}", warning.to_string());
  const std::lock_guard lock(mutex_);
  settings_ = std::move(loaded.settings);
  paths_ = std::move(loaded.paths);
  stamp_ = std::move(loaded.stamp);
  next_look_ = now_() + kLookAgain;
}

std::shared_ptr<const WebSettings> LiveWebSettings::current() {
  // Nobody waits for the one that is reading: what was in force still is.
  if (const std::unique_lock looking(looking_, std::try_to_lock); looking && !file_.empty()) look();
  const std::lock_guard lock(mutex_);
  return settings_;
}

void LiveWebSettings::look() {
  std::vector<std::string> paths;
  std::string stamp;
  std::shared_ptr<const WebSettings> before;
  {
    const std::lock_guard lock(mutex_);
    if (now_() < next_look_) return;
    next_look_ = now_() + kLookAgain;
    paths = paths_;
    stamp = stamp_;
    before = settings_;
  }
  if (stamp_of(paths) == stamp) return;
  LoadedWebSettings loaded = load_web_settings(file_);
  const std::string_view gone = loaded.settings ? what_is_gone(before->file, loaded.settings->file) : std::string_view();
  if (loaded.settings && gone.empty()) {
    take_over(std::move(loaded));
    spdlog::info("web: {} and its certificates were loaded again", file_);
    return;
  }
  if (loaded.settings) {
    spdlog::error("web: {} no longer asks for {}: the old one stays in force until a reload (SIGHUP, POST /-/reload)", file_,
                  gone);
  } else {
    spdlog::error("web: {} was not taken over, the old one stays in force:\n{}", file_, lines_of(loaded.errors));
  }
  const std::lock_guard lock(mutex_);
  if (settings_ != before) return;  // a reload came between
  paths_ = std::move(loaded.paths);
  stamp_ = std::move(loaded.stamp);
}

}  // namespace ajar
