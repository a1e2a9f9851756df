// A shared object with one function, for plugin_loader_test.
extern "C" int vmbuskit_test_answer() { return 42; }
