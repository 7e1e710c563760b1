#include "agent/canary_keys.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ajar {
namespace {

constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::size_t kTokenBytes = 20, kSignedBytes = 12;

const unsigned char* as_bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

// RFC 5869 with an empty salt; `label` keeps the keys apart.
void derive(std::string_view secret, std::string_view label, std::span<unsigned char> into) {
  const std::unique_ptr<EVP_KDF, decltype(&EVP_KDF_free)> kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr), EVP_KDF_free);
  const std::unique_ptr<EVP_KDF_CTX, decltype(&EVP_KDF_CTX_free)> context(EVP_KDF_CTX_new(kdf.get()), EVP_KDF_CTX_free);
  std::string digest = "SHA256", key(secret), info(label);
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key.data(), key.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      OSSL_PARAM_construct_end(),
  };
  const int done = context ? EVP_KDF_derive(context.get(), into.data(), into.size(), parameters) : 0;
  OPENSSL_cleanse(key.data(), key.size());
  if (done != 1) throw std::runtime_error("OpenSSL cannot derive keys (HKDF-SHA256): check its configuration");
}

void fill_random(std::span<unsigned char> into) {
  if (RAND_bytes(into.data(), static_cast<int>(into.size())) != 1) {
    throw std::runtime_error("OpenSSL has no random bytes: check its configuration");
  }
}

std::string encode(const std::array<unsigned char, kTokenBytes>& bytes) {
  std::string text;
  for (std::size_t bit = 0; bit < kTokenBytes * 8; bit += 5) {
    unsigned value = 0;
    for (std::size_t i = bit; i < bit + 5; ++i) value = value << 1U | (bytes[i / 8] >> (7 - i % 8) & 1U);
    text += kAlphabet[value];
  }
  return text;
}

std::optional<std::array<unsigned char, kTokenBytes>> decode(std::string_view text) {
  if (text.size() != CanaryKeys::kTokenLength) return std::nullopt;
  std::array<unsigned char, kTokenBytes> bytes{};
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto value = kAlphabet.find(text[i]);
    if (value == std::string_view::npos) return std::nullopt;
    for (std::size_t bit = 0; bit < 5; ++bit) {
      const std::size_t at = i * 5 + bit;
      if (value >> (4 - bit) & 1U) bytes[at / 8] = static_cast<unsigned char>(bytes[at / 8] | 1U << (7 - at % 8));
    }
  }
  return bytes;
}

std::optional<std::string> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = digit(text[i]), low = digit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

// Closes what it holds.
struct File {
  int fd;
  ~File() {
    if (fd >= 0) ::close(fd);
  }
};

[[noreturn]] void refuse(const std::string& file, const std::string& what) {
  throw SecretError(fmt::format("canary.secret_file {}: {}", file, what));
}

void write_all(const File& out, std::string_view bytes, const std::string& file) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(out.fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int error = errno;
      ::unlink(file.c_str());
      refuse(file, fmt::format("cannot be written: {}", std::generic_category().message(error)));
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

void sync_folder(const std::string& file) {
  const std::filesystem::path folder = std::filesystem::path(file).parent_path();
  const File handle{::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (handle.fd >= 0) ::fsync(handle.fd);
}

// False: somebody else made it in between, or it was there.
bool make_secret(const std::string& file) {
  std::error_code ignored;  // the attempt to make the file says what is wrong with the folder
  if (const auto folder = std::filesystem::path(file).parent_path(); !folder.empty())
    std::filesystem::create_directories(folder, ignored);
  const File out{::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (out.fd < 0) {
    if (errno == EEXIST) return false;
    refuse(file, fmt::format("cannot be made: {}; make its folder writable for this user, or copy a secret there",
                             std::generic_category().message(errno)));
  }
  std::array<unsigned char, CanaryKeys::kSecretLength> bytes{};
  fill_random(bytes);
  std::string line = to_hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()}) + "\n";
  write_all(out, line, file);
  OPENSSL_cleanse(line.data(), line.size());
  if (::fsync(out.fd) != 0) {
    const int error = errno;
    ::unlink(file.c_str());
    refuse(file, fmt::format("cannot be written: {}", std::generic_category().message(error)));
  }
  sync_folder(file);
  return true;
}

std::string read_secret(const std::string& file) {
  const File in{::open(file.c_str(), O_RDONLY | O_CLOEXEC)};
  if (in.fd < 0)
    refuse(file, fmt::format("cannot be read: {}; let this user own it, mode 0600", std::generic_category().message(errno)));
  struct stat facts{};
  if (::fstat(in.fd, &facts) != 0) refuse(file, fmt::format("cannot be read: {}", std::generic_category().message(errno)));
  if (!S_ISREG(facts.st_mode)) refuse(file, "is not a file; name a file, or remove it and a new secret is made");
  if ((facts.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    refuse(file, fmt::format("others may use it (mode {:04o}); run: chmod 600 {}", facts.st_mode & 07777U, file));
  }
  std::string text(4096, '\0');
  std::size_t got = 0;
  while (got < text.size()) {
    const ssize_t n = ::read(in.fd, text.data() + got, text.size() - got);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) refuse(file, fmt::format("cannot be read: {}", std::generic_category().message(errno)));
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  text.resize(got);
  return text;
}

}  // namespace

std::string hmac_sha256(std::string_view key, std::string_view message) {
  std::string mac(EVP_MAX_MD_SIZE, '\0');
  unsigned length = 0;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), as_bytes(message), message.size(),
           reinterpret_cast<unsigned char*>(mac.data()), &length) == nullptr) {
    throw std::runtime_error("OpenSSL cannot compute HMAC-SHA256: check its configuration");
  }
  mac.resize(length);
  return mac;
}

std::string sha256(std::string_view bytes) {
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned length = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()), &length, EVP_sha256(), nullptr) !=
      1) {
    throw std::runtime_error("OpenSSL cannot compute SHA-256: check its configuration");
  }
  digest.resize(length);
  return digest;
}

std::string to_hex(std::string_view bytes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 15U];
  }
  return text;
}

bool equal_in_constant_time(std::string_view left, std::string_view right) {
  return left.size() == right.size() && CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

CanaryKeys::CanaryKeys(std::string_view secret) {
  if (secret.size() < kSecretLength) throw std::invalid_argument("the canary secret is too short");
  derive(secret, "ajar token v1", token_);
  derive(secret, "ajar proof v1", proof_);
  derive(secret, "ajar api v1", api_);
}

CanaryKeys CanaryKeys::random() {
  std::array<unsigned char, kSecretLength> bytes{};
  fill_random(bytes);
  return CanaryKeys({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

CanaryKeys CanaryKeys::load(const std::string& file) {
  if (::access(file.c_str(), F_OK) != 0 && errno == ENOENT) make_secret(file);
  std::string text = read_secret(file);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  std::optional<std::string> secret = from_hex(text);
  OPENSSL_cleanse(text.data(), text.size());
  if (!secret)
    refuse(file,
           "is not one line of hexadecimal digits; remove it and a new one is made, or copy it again from the other host");
  if (secret->size() < kSecretLength) {
    refuse(file, fmt::format("is too short: {} bytes, {} are needed; remove it and a new one is made, or write the output of: "
                             "openssl rand -hex {}",
                             secret->size(), kSecretLength, kSecretLength));
  }
  CanaryKeys keys(*secret);
  OPENSSL_cleanse(secret->data(), secret->size());
  return keys;
}

std::string CanaryKeys::mint(Time now, std::chrono::milliseconds lifetime) const {
  std::array<unsigned char, kTokenBytes> bytes{};
  fill_random({bytes.data(), 8});
  const auto expiry =
      static_cast<std::uint32_t>(std::chrono::ceil<std::chrono::minutes>((now + lifetime).time_since_epoch()).count());
  for (std::size_t i = 0; i < 4; ++i) bytes[8 + i] = static_cast<unsigned char>(expiry >> (24 - 8 * i));
  const std::string mac = hmac_sha256({reinterpret_cast<const char*>(token_.data()), token_.size()},
                                      {reinterpret_cast<const char*>(bytes.data()), kSignedBytes});
  std::memcpy(bytes.data() + kSignedBytes, mac.data(), kTokenBytes - kSignedBytes);
  return encode(bytes);
}

TokenState CanaryKeys::check(std::string_view token, Time now) const {
  const auto bytes = decode(token);
  if (!bytes) return TokenState::bad;
  const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  const std::string mac =
      hmac_sha256({reinterpret_cast<const char*>(token_.data()), token_.size()}, text.substr(0, kSignedBytes));
  if (!equal_in_constant_time(text.substr(kSignedBytes), std::string_view(mac).substr(0, kTokenBytes - kSignedBytes))) {
    return TokenState::bad;
  }
  std::uint32_t expiry = 0;
  for (std::size_t i = 0; i < 4; ++i) expiry = expiry << 8U | (*bytes)[8 + i];
  return Time(std::chrono::minutes(expiry)) <= now ? TokenState::expired : TokenState::valid;
}

std::string CanaryKeys::proof(std::string_view token) const {
  return to_hex(hmac_sha256({reinterpret_cast<const char*>(proof_.data()), proof_.size()}, token)).substr(0, kProofLength);
}

}  // namespace ajar
