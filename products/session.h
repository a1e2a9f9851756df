// A product's run from start to end: brings a System up, shows its devices, ends after Ctrl-C or,
// with `once`, when every device has run.
//
//   int main(int argc, char** argv) {
//     Session session({.name = "heartbeat_only", .once = ..., .system = {.classes = ..., ...}});
//     return session.Run();
//   }
//
// A product that does more derives from it and says what happens after the start, before the stop,
// and how the devices are shown. Run blocks the calling thread, which becomes virtual processor 0.
// Thread safety: Run on the main thread, before there are others; hooks are called on the executor
// of VP 0.
// SIGPIPE is ignored from then on: a closed standard output ends nothing.
// Exit codes: 0 all went well, 1 it did not (one line on standard error says what), 130 a second
// Ctrl-C.
#ifndef VMBUSKIT_PRODUCTS_SESSION_H_
#define VMBUSKIT_PRODUCTS_SESSION_H_

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "framework/task/cancel.h"
#include "framework/task/task.h"
#include "platform/time.h"
#include "products/device_table.h"
#include "products/live_view.h"
#include "products/system.h"

namespace vmbuskit {

class Session {
 public:
  static constexpr Duration kDefaultTimeout = std::chrono::seconds(30);

  struct Options {
    std::string name;                    // in front of every line that is not the table
    bool once = false;                   // end when every device has run
    Duration timeout = kDefaultTimeout;  // with `once`: then it failed
    System::Options system;
  };

  explicit Session(Options options);
  virtual ~Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Once. The exit code.
  int Run();

 protected:
  // The system runs. An error ends the session.
  virtual absl::Status OnStarted() { return absl::OkStatus(); }
  // The system is about to stop, also after an error. Called only after OnStarted. An error: something
  // still uses the system, which then cannot be taken down; the process ends.
  virtual Task<absl::Status> OnStopping();
  // About once a second. By default a table on standard output.
  virtual void Show(const std::vector<DeviceRow>& rows);
  // The run is over: goes on with OnStopping. The first error is what the session ends with.
  void End(const absl::Status& outcome);
  // One line for people: to standard output.
  virtual void Say(std::string_view line);

  System& system() { return *system_; }
  LiveView& view() { return view_; }
  const Options& options() const { return options_; }

 private:
  Task<void> RunAll();
  Task<absl::Status> Serve();
  Task<absl::Status> Watch();
  Task<absl::Status> StopSystem();
  [[noreturn]] void EndProcess(const absl::Status& reason);
  void OnInterrupt();

  const Options options_;
  LiveView view_;
  std::unique_ptr<System> system_;
  CancelScope until_interrupt_;
  absl::Status ended_;  // by End
  absl::Status outcome_;
};

// Writes all of `text`; what cannot be written is lost.
void PrintText(std::string_view text);   // to standard output
void PrintError(std::string_view text);  // to standard error

}  // namespace vmbuskit

#endif  // VMBUSKIT_PRODUCTS_SESSION_H_
