// Lists in files and behind URLs, as they come, change, break and go.
#include "agent/source_reader.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <httplib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/certificates.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Steady = std::chrono::steady_clock;

std::vector<std::string> targets_of(const SourceLook& look) {
  std::vector<std::string> out;
  for (const TargetGroup& group : look.groups.value_or(TargetGroups())) {
    out.insert(out.end(), group.targets.begin(), group.targets.end());
  }
  return out;
}

std::string list_of(const std::string& target) { return "[{\"targets\": [\"" + target + "\"]}]"; }

class Folder {
 public:
  Folder() {
    std::string pattern = testing::TempDir() + "ajar-sources-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  void write(const std::string& name, const std::string& text) const { std::ofstream(file(name)) << text; }
  void replace(const std::string& name, const std::string& text) const {
    write(".new", text);
    std::filesystem::rename(file(".new"), file(name));
  }
  void remove(const std::string& name) const { std::filesystem::remove(file(name)); }

 private:
  std::string path_;
};

// ---- files ----

TEST(FileReader, ReadsWhatMatches) {
  const Folder folder;
  folder.write("a.json", list_of("a"));
  folder.write("b.json", list_of("b"));
  folder.write("c.yml", "- targets: [c]\n");
  folder.write(".d.json", list_of("d"));
  folder.write("e.json.bak", list_of("e"));
  EXPECT_THAT(targets_of(make_file_reader(folder.file("*.json"), false)->look()), ElementsAre("a", "b"));
  EXPECT_THAT(targets_of(make_file_reader(folder.file("b*.json"), false)->look()), ElementsAre("b"));
  EXPECT_THAT(targets_of(make_file_reader(folder.file("*.yml"), false)->look()), ElementsAre("c"));
  EXPECT_THAT(targets_of(make_file_reader(folder.file("a.json"), false)->look()), ElementsAre("a"));
  for (const char* nothing : {"x*.json", "none/*.json", "x.json"}) {
    const SourceLook look = make_file_reader(folder.file(nothing), false)->look();
    EXPECT_TRUE(look.complete && look.groups && look.groups->empty() && look.trouble.empty()) << nothing;
  }
}

TEST(FileReader, ChangesAndFailures) {
  const Folder folder;
  const auto reader = make_file_reader(folder.file("*.json"), false);
  folder.write("a.json", list_of("a"));
  folder.write("b.json", list_of("b"));
  EXPECT_THAT(targets_of(reader->look()), ElementsAre("a", "b"));
  EXPECT_FALSE(reader->look().groups);  // as before

  folder.replace("b.json", list_of("b2"));
  EXPECT_THAT(targets_of(reader->look()), ElementsAre("a", "b2"));
  // Written anew with the same in it: nothing changed.
  folder.replace("b.json", list_of("b2"));
  EXPECT_FALSE(reader->look().groups);

  folder.replace("b.json", "[{\"targets\": [\"b3\"");
  SourceLook look = reader->look();
  EXPECT_FALSE(look.groups);
  EXPECT_TRUE(look.complete);
  EXPECT_THAT(look.trouble, AllOf(HasSubstr("b.json: not valid JSON"), HasSubstr("its last good list is kept")));
  EXPECT_EQ(reader->look().trouble, look.trouble);  // as long as it lasts

  // Another file goes on.
  folder.replace("a.json", list_of("a2"));
  look = reader->look();
  EXPECT_THAT(targets_of(look), ElementsAre("a2", "b2"));
  EXPECT_THAT(look.trouble, HasSubstr("b.json"));

  folder.remove("b.json");
  look = reader->look();
  EXPECT_THAT(targets_of(look), ElementsAre("a2"));
  EXPECT_THAT(look.trouble, IsEmpty());
  folder.remove("a.json");
  look = reader->look();
  EXPECT_TRUE(look.groups && look.groups->empty() && look.complete);
}

TEST(FileReader, WhatIsNoFile) {
  const Folder folder;
  ASSERT_EQ(mkfifo(folder.file("pipe.json").c_str(), 0600), 0);
  std::filesystem::create_directory(folder.file("folder.json"));
  std::filesystem::create_symlink("nowhere", folder.file("link.json"));
  folder.write("big.json", "");
  std::filesystem::resize_file(folder.file("big.json"), kMaxTargetList + 1);
  for (const auto& [name, why] : std::map<std::string, std::string>{{"pipe.json", "not a regular file"},
                                                                    {"folder.json", "not a regular file"},
                                                                    {"link.json", "No such file"},
                                                                    {"big.json", "larger than 32 MiB"}}) {
    const SourceLook look = make_file_reader(folder.file(name), false)->look();
    EXPECT_THAT(look.trouble, HasSubstr(why)) << name;
    EXPECT_FALSE(look.complete) << name;
  }
  folder.write("good.json", list_of("good"));
  const SourceLook look = make_file_reader(folder.file("*.json"), false)->look();
  EXPECT_THAT(targets_of(look), ElementsAre("good"));
  EXPECT_THAT(look.trouble, HasSubstr("(and 3 more files)"));
}

TEST(FileReader, TooManyTogether) {
  const Folder folder;
  std::string many = "[{\"targets\": [\"a\"";
  for (int i = 1; i < 150'000; ++i) many += ",\"a\"";
  many += "]}]";
  const auto reader = make_file_reader(folder.file("*.json"), false);
  folder.write("a.json", many);
  EXPECT_EQ(targets_of(reader->look()).size(), 150'000U);
  folder.write("b.json", many);
  SourceLook look = reader->look();
  EXPECT_FALSE(look.groups);
  EXPECT_THAT(look.trouble, HasSubstr("more than 200000 targets together"));
  folder.replace("b.json", list_of("b"));
  look = reader->look();
  EXPECT_EQ(targets_of(look).size(), 150'001U);
  EXPECT_THAT(look.trouble, IsEmpty());
}

// What a source thread does, in steps: looks until `wanted` says yes.
class Watched {
 public:
  explicit Watched(const std::string& pattern) : reader_(make_file_reader(pattern, true)), wake_(eventfd(0, 0)) {}
  ~Watched() { close(wake_); }
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
  // The targets once they are `wanted`; what they are after `limit` otherwise. `span`: between two looks, if nothing is told.
  std::vector<std::string> wait_for(const std::vector<std::string>& wanted, milliseconds limit = 8s, milliseconds span = 60s) {
    const auto until = Steady::now() + limit;
    for (;;) {
      const SourceLook look = reader_->look();
      if (look.groups) now_ = targets_of(look);
      trouble = look.trouble;
      const auto left = std::chrono::ceil<milliseconds>(until - Steady::now());
      if (now_ == wanted || left.count() <= 0) return now_;
      reader_->wait(wake_, std::min(look.soon ? 1000ms : span, left));
    }
  }
  std::string trouble;

 private:
  std::unique_ptr<SourceReader> reader_;
  int wake_;
  std::vector<std::string> now_;
};

// inotify tells: the interval of a minute never passes here.
TEST(FileReader, IsToldOfChanges) {
  const Folder folder;
  Watched watched(folder.file("sub/deep/*.json"));
  using List = std::vector<std::string>;
  EXPECT_EQ(watched.wait_for({}), List());
  // The folder comes later, and with it the file.
  std::filesystem::create_directories(folder.file("sub/deep"));
  folder.write("sub/deep/a.json", list_of("a"));
  EXPECT_EQ(watched.wait_for({"a"}), List{"a"});
  folder.write("sub/deep/a.json", list_of("a2"));
  EXPECT_EQ(watched.wait_for({"a2"}), List{"a2"});
  folder.replace("sub/deep/a.json", list_of("a3"));
  EXPECT_EQ(watched.wait_for({"a3"}), List{"a3"});
  folder.write("sub/deep/b.json", list_of("b"));
  EXPECT_EQ(watched.wait_for({"a3", "b"}), (List{"a3", "b"}));
  folder.remove("sub/deep/a.json");
  EXPECT_EQ(watched.wait_for({"b"}), List{"b"});
  // The whole folder is put aside, and another one takes its place.
  std::filesystem::rename(folder.file("sub"), folder.file("old"));
  EXPECT_EQ(watched.wait_for({}), List());
  std::filesystem::create_directories(folder.file("next/deep"));
  folder.write("next/deep/c.json", list_of("c"));
  std::filesystem::rename(folder.file("next"), folder.file("sub"));
  EXPECT_EQ(watched.wait_for({"c"}), List{"c"});
  // A link in the folder that leads elsewhere, as Kubernetes mounts them.
  std::filesystem::create_directories(folder.file("sub/deep/..1"));
  std::filesystem::create_directories(folder.file("sub/deep/..2"));
  folder.write("sub/deep/..1/d.json", list_of("d1"));
  folder.write("sub/deep/..2/d.json", list_of("d2"));
  std::filesystem::create_directory_symlink("..1", folder.file("sub/deep/..data"));
  std::filesystem::create_symlink("..data/d.json", folder.file("sub/deep/d.json"));
  EXPECT_EQ(watched.wait_for({"c", "d1"}), (List{"c", "d1"}));
  std::filesystem::create_directory_symlink("..2", folder.file("sub/deep/..tmp"));
  std::filesystem::rename(folder.file("sub/deep/..tmp"), folder.file("sub/deep/..data"));
  EXPECT_EQ(watched.wait_for({"c", "d2"}), (List{"c", "d2"}));
  std::filesystem::remove_all(folder.file("sub"));
  EXPECT_EQ(watched.wait_for({}), List());
}

// Half a file of YAML is a list too: nobody believes it while somebody writes.
TEST(FileReader, WaitsForTheWriter) {
  const Folder folder;
  folder.write("a.yml", "- targets: [a, b]\n");
  Watched watched(folder.file("*.yml"));
  using List = std::vector<std::string>;
  EXPECT_EQ(watched.wait_for({"a", "b"}), (List{"a", "b"}));
  std::ofstream writer(folder.file("a.yml"));
  writer << "- targets: [c]\n" << std::flush;
  folder.write("other.txt", "wakes the reader");
  EXPECT_EQ(watched.wait_for({"c"}, 300ms), (List{"a", "b"}));
  writer << "- targets: [d]\n" << std::flush;
  writer.close();
  EXPECT_EQ(watched.wait_for({"c", "d"}), (List{"c", "d"}));
}

// ---- URLs ----

class UrlReaderTest : public testing::Test {
 protected:
  UrlReaderTest() {
    config_.file = folder_.file("ajar.toml");
    config_.agent.contact = "mailto:sre@example.net";
    source_.timeout = 2s;
  }
  ~UrlReaderTest() override { end(); }
  void end() {
    if (!server_) return;
    server_->stop();
    thread_.join();
    server_.reset();
  }
  // Serves `handler` on a port of its own; over TLS where a certificate is given.
  void serve(const httplib::Server::Handler& handler, const PemPair* pair = nullptr, bool client_certificates = false) {
    end();
    if (pair != nullptr) {
      folder_.write("server.pem", pair->certificate);
      folder_.write("server.key", pair->key);
      server_ = std::make_unique<httplib::SSLServer>(folder_.file("server.pem").c_str(), folder_.file("server.key").c_str(),
                                                     client_certificates ? folder_.file("ca.pem").c_str() : nullptr);
    } else {
      server_ = std::make_unique<httplib::Server>();
    }
    server_->Get("/.*", [this, handler](const httplib::Request& request, httplib::Response& response) {
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
      }
      handler(request, response);
    });
    const int port = server_->bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_->listen_after_bind(); });
    while (!server_->is_running()) std::this_thread::yield();
    source_.url = fmt::format("{}://127.0.0.1:{}/targets?env=prod", pair != nullptr ? "https" : "http", port);
  }
  void answer(int status, const std::string& body, const char* type = "application/json") {
    serve([=](const httplib::Request&, httplib::Response& response) {
      response.status = status;
      response.set_content(body, type);
    });
  }
  std::unique_ptr<SourceReader> reader() const { return make_url_reader(source_, config_); }
  std::string trouble() const {
    const SourceLook look = reader()->look();
    EXPECT_FALSE(look.groups || look.complete);
    return look.trouble;
  }
  std::vector<httplib::Request> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

  Folder folder_;
  Config config_;
  DiscoveryConfig source_;
  std::mutex mutex_;
  std::vector<httplib::Request> requests_;
  std::unique_ptr<httplib::Server> server_;
  std::thread thread_;
};

TEST_F(UrlReaderTest, AsksAsPrometheusDoes) {
  answer(200, list_of("a"));
  const SourceLook look = reader()->look();
  EXPECT_EQ(look.trouble, "");
  EXPECT_TRUE(look.complete);
  EXPECT_THAT(targets_of(look), ElementsAre("a"));
  ASSERT_EQ(requests().size(), 1U);
  const httplib::Request request = requests()[0];
  EXPECT_EQ(request.target, "/targets?env=prod");
  EXPECT_THAT(request.get_header_value("User-Agent"), AllOf(HasSubstr("ajar/"), HasSubstr("(+mailto:sre@example.net)")));
  EXPECT_EQ(request.get_header_value("X-Prometheus-Refresh-Interval-Seconds"), "60");
  EXPECT_EQ(request.get_header_value("Accept"), "application/json");
  EXPECT_THAT(request.get_header_value("Host"), HasSubstr("127.0.0.1:"));
  EXPECT_FALSE(request.has_header("Authorization"));
}

TEST_F(UrlReaderTest, NotModified) {
  std::string body = list_of("a"), tag = "\"1\"";
  serve([&](const httplib::Request& request, httplib::Response& response) {
    if (request.get_header_value("If-None-Match") == tag) {
      response.status = 304;
      return;
    }
    response.set_header("ETag", tag);
    response.set_content(body, "application/json; charset=utf-8");
  });
  const auto one = reader();
  EXPECT_THAT(targets_of(one->look()), ElementsAre("a"));
  SourceLook look = one->look();
  EXPECT_FALSE(look.groups);
  EXPECT_TRUE(look.complete && look.trouble.empty());
  // A tag is that of a list that was good.
  body = "[";
  tag = "\"2\"";
  EXPECT_THAT(one->look().trouble, HasSubstr("its list: not valid JSON"));
  EXPECT_THAT(one->look().trouble, HasSubstr("its list: not valid JSON"));
  EXPECT_EQ(requests().back().get_header_value("If-None-Match"), "\"1\"");
  body = list_of("b");
  look = one->look();
  EXPECT_THAT(targets_of(look), ElementsAre("b"));
}

TEST_F(UrlReaderTest, AnswersThatAreNoList) {
  answer(500, list_of("a"));
  EXPECT_THAT(trouble(), HasSubstr("it answers 500"));
  answer(204, "");
  EXPECT_THAT(trouble(), HasSubstr("it answers 204"));
  answer(304, "");
  EXPECT_THAT(trouble(), HasSubstr("it answers 304"));
  answer(200, "<html>Log in</html>", "text/html");
  EXPECT_THAT(trouble(), HasSubstr("its Content-Type is `text/html`, not application/json"));
  answer(200, list_of("a"), "application/json; charset=latin1");
  EXPECT_THAT(trouble(), HasSubstr("its Content-Type is"));
  answer(200, "");
  EXPECT_THAT(trouble(), HasSubstr("its list: empty"));
  answer(200, "{\"targets\": []}");
  EXPECT_THAT(trouble(), HasSubstr("its list: not a list but an object"));
  source_.timeout = 60s;  // so much takes its time
  answer(200, std::string(kMaxTargetList + 1, ' '));
  EXPECT_THAT(trouble(), HasSubstr("larger than 32 MiB"));
  end();
  EXPECT_EQ(trouble(), "no connection");
}

TEST_F(UrlReaderTest, SlowAnswersEnd) {
  source_.timeout = 500ms;
  std::atomic<bool> over{false};
  serve([&](const httplib::Request&, httplib::Response&) {
    while (!over) std::this_thread::sleep_for(20ms);
  });
  auto begun = Steady::now();
  EXPECT_THAT(trouble(), HasSubstr("not in time"));
  EXPECT_LT(Steady::now() - begun, 5s);
  over = true;
  // A drop at a time: each in time, the whole not.
  serve([](const httplib::Request&, httplib::Response& response) {
    response.set_chunked_content_provider("application/json", [](std::size_t, httplib::DataSink& sink) {
      std::this_thread::sleep_for(50ms);
      return sink.write(" ", 1);
    });
  });
  begun = Steady::now();
  EXPECT_THAT(trouble(), HasSubstr("in time"));
  EXPECT_LT(Steady::now() - begun, 5s);
}

TEST_F(UrlReaderTest, RedirectsStayOnTheHost) {
  std::string to = "/moved";
  serve([&](const httplib::Request& request, httplib::Response& response) {
    if (request.path == "/moved") {
      response.set_content(list_of("a"), "application/json");
    } else {
      response.status = 302;
      response.set_header("Location", to);
    }
  });
  EXPECT_THAT(targets_of(reader()->look()), ElementsAre("a"));
  to = source_.url.substr(0, source_.url.find("/targets")) + "/moved";
  EXPECT_THAT(targets_of(reader()->look()), ElementsAre("a"));
  for (const char* elsewhere : {"http://192.0.2.1/", "//192.0.2.1/", "https://cmdb.example.net/x", "", "ftp:"}) {
    to = elsewhere;
    EXPECT_THAT(trouble(), HasSubstr("which is not followed")) << elsewhere;
  }
  to = "/again";
  EXPECT_EQ(trouble(), "it redirects again and again");
}

TEST_F(UrlReaderTest, Passwords) {
  serve([](const httplib::Request& request, httplib::Response& response) {
    response.set_content(list_of(request.has_header("Authorization") ? "known" : "stranger"), "application/json");
  });
  source_.username = "ajar";
  source_.password_file = "password";
  EXPECT_THAT(trouble(), HasSubstr("password_file"));
  folder_.write("password", "Sesame\n");
  EXPECT_THAT(targets_of(reader()->look()), ElementsAre("known"));
  EXPECT_EQ(requests().back().get_header_value("Authorization"), "Basic YWphcjpTZXNhbWU=");
  source_.username.clear();
  source_.password_file.clear();
  source_.bearer_token_file = "token";
  folder_.write("token", "two\nlines\n");
  EXPECT_THAT(trouble(), AllOf(HasSubstr("is not one line of text"), testing::Not(HasSubstr("lines\n"))));
  folder_.write("token", "");
  EXPECT_THAT(trouble(), HasSubstr("is not one line of text"));
  folder_.write("token", "abc.def");
  const auto one = reader();
  one->look();
  EXPECT_EQ(requests().back().get_header_value("Authorization"), "Bearer abc.def");
  folder_.write("token", "ghi");  // it was renewed
  one->look();
  EXPECT_EQ(requests().back().get_header_value("Authorization"), "Bearer ghi");
}

TEST_F(UrlReaderTest, Tls) {
  const TestAuthority authority("good"), other("other");
  const auto list = [](const httplib::Request&, httplib::Response& response) {
    response.set_content(list_of("a"), "application/json");
  };
  folder_.write("ca.pem", authority.certificate());
  source_.ca_file = "ca.pem";
  const PemPair good = authority.issue("server", "IP:127.0.0.1");
  serve(list, &good);
  EXPECT_THAT(targets_of(reader()->look()), ElementsAre("a"));
  source_.ca_file.clear();
  EXPECT_THAT(trouble(), HasSubstr("its certificate does not verify"));
  source_.ca_file = "none.pem";
  EXPECT_THAT(trouble(), HasSubstr("ca_file"));
  source_.ca_file = "ca.pem";
  const PemPair strange = other.issue("server", "IP:127.0.0.1");
  serve(list, &strange);
  EXPECT_THAT(trouble(), HasSubstr("its certificate does not verify"));
  const PemPair expired = authority.issue("server", "IP:127.0.0.1", -1);
  serve(list, &expired);
  EXPECT_THAT(trouble(), HasSubstr("expired"));
  const PemPair misnamed = authority.issue("server", "DNS:cmdb.example.net");
  serve(list, &misnamed);
  EXPECT_THAT(trouble(), HasSubstr("its certificate does not verify: it is for another name"));
  // It wants to see ours.
  serve(list, &good, true);
  EXPECT_NE(trouble(), "");
  const PemPair client = authority.issue("ajar", "");
  folder_.write("client.pem", client.certificate);
  folder_.write("client.key", client.key);
  source_.cert_file = "client.pem";
  source_.key_file = "client.key";
  EXPECT_THAT(targets_of(reader()->look()), ElementsAre("a"));
  source_.key_file = "none.key";
  EXPECT_THAT(trouble(), HasSubstr("cannot be read"));
}

}  // namespace
}  // namespace ajar
