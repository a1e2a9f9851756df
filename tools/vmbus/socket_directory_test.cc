#include "tools/vmbus/socket_directory.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

class SocketDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/socketsXXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    parent_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(parent_); }

  bool Exists(const std::string& name) {
    return std::filesystem::exists(std::filesystem::symlink_status(parent_ + "/" + name));
  }

  std::string parent_;
};

TEST_F(SocketDirectoryTest, IsMadeForTheUserAlone) {
  const std::string path = parent_ + "/own";
  absl::StatusOr<SocketDirectory> directory = SocketDirectory::Open(path);
  ASSERT_TRUE(directory.ok()) << directory.status();
  struct stat status;
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700u);
  EXPECT_TRUE(SocketDirectory::Open(path).ok()) << "a second time";
}

TEST_F(SocketDirectoryTest, OpenToOthersIsRefused) {
  const std::string path = parent_ + "/open";
  ASSERT_EQ(mkdir(path.c_str(), 0700), 0);
  ASSERT_EQ(chmod(path.c_str(), 0755), 0);
  EXPECT_EQ(SocketDirectory::Open(path).status().message(),
            path + ": others have access to it, its mode should be 0700");
}

TEST_F(SocketDirectoryTest, ThatIsALinkOrAFileIsRefused) {
  std::filesystem::create_directory_symlink("/tmp", parent_ + "/link");
  EXPECT_FALSE(SocketDirectory::Open(parent_ + "/link").ok());
  FileDescriptor file(open((parent_ + "/file").c_str(), O_CREAT | O_WRONLY, 0600));
  EXPECT_FALSE(SocketDirectory::Open(parent_ + "/file").ok());
}

TEST_F(SocketDirectoryTest, FindsWhoListens) {
  absl::StatusOr<SocketDirectory> directory = SocketDirectory::Open(parent_ + "/own");
  ASSERT_TRUE(directory.ok());
  EXPECT_TRUE(directory->FindInstances().empty());
  absl::StatusOr<FileDescriptor> second = directory->Listen(200);
  absl::StatusOr<FileDescriptor> first = directory->Listen(30);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(directory->FindInstances(), (std::vector<int>{30, 200}));
  EXPECT_TRUE(directory->Connect(200).ok());
  directory->Remove(200);
  EXPECT_EQ(directory->FindInstances(), (std::vector<int>{30}));
}

TEST_F(SocketDirectoryTest, RemovesWhatADeadProcessLeft) {
  absl::StatusOr<SocketDirectory> directory = SocketDirectory::Open(parent_ + "/own");
  ASSERT_TRUE(directory.ok());
  *directory->Listen(77);  // closed at once: its file stays
  EXPECT_TRUE(Exists("own/77.sock"));
  EXPECT_TRUE(directory->FindInstances().empty());
  EXPECT_FALSE(Exists("own/77.sock"));
  EXPECT_EQ(directory->Connect(77).status().message(), "no instance runs as process 77");
  *directory->Listen(78);
  absl::StatusOr<FileDescriptor> reborn = directory->Listen(78);  // the same number, used again
  ASSERT_TRUE(reborn.ok()) << reborn.status();
  EXPECT_EQ(directory->FindInstances(), (std::vector<int>{78}));
}

TEST_F(SocketDirectoryTest, PassesOverWhatIsNoSocketOfOurs) {
  absl::StatusOr<SocketDirectory> directory = SocketDirectory::Open(parent_ + "/own");
  ASSERT_TRUE(directory.ok());
  for (const char* name : {"x.sock", "-3.sock", "12", "99999999999999.sock", "5.sock.new"}) {
    FileDescriptor file(open((parent_ + "/own/" + name).c_str(), O_CREAT | O_WRONLY, 0600));
  }
  EXPECT_TRUE(directory->FindInstances().empty());
  EXPECT_TRUE(Exists("own/x.sock")) << "and leaves it alone";
}

TEST_F(SocketDirectoryTest, WorksBelowAPathLongerThanAnAddress) {
  const std::string path = parent_ + "/" + std::string(150, 'd');
  absl::StatusOr<SocketDirectory> directory = SocketDirectory::Open(path);
  ASSERT_TRUE(directory.ok()) << directory.status();
  absl::StatusOr<FileDescriptor> listener = directory->Listen(1);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_TRUE(directory->Connect(1).ok());
}

TEST(SocketDirectoryPath, FollowsTheEnvironment) {
  setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
  EXPECT_EQ(SocketDirectory::DefaultPath(), "/run/user/7/vmbuskit-" + std::to_string(getuid()));
  setenv("XDG_RUNTIME_DIR", "relative", 1);
  EXPECT_EQ(SocketDirectory::DefaultPath(), "/tmp/vmbuskit-" + std::to_string(getuid()));
  unsetenv("XDG_RUNTIME_DIR");
  EXPECT_EQ(SocketDirectory::DefaultPath(), "/tmp/vmbuskit-" + std::to_string(getuid()));
}

}  // namespace
}  // namespace vmbuskit
