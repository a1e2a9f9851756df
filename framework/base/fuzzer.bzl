"""A fuzzer beside the code that it attacks.

    load("//framework/base:fuzzer.bzl", "vmbuskit_fuzzer")

    vmbuskit_fuzzer(
        name = "ring_fuzz",
        srcs = ["ring_fuzz.cc"],
        covers = ["ring_reader.*", "//framework/base/bytes.h"],
        deps = [":ring", "//framework/base:fuzzing"],
    )

makes two targets of one `LLVMFuzzerTestOneInput`:

  ring_fuzz              the libFuzzer program. `./dev fuzz SECONDS ring_fuzz` builds, runs and measures it.
  ring_fuzz_corpus_test  an ordinary test that replays the committed corpus `tests/fuzz_corpus/ring_fuzz`, mutations of
                         it and inputs at random. Until that folder exists it does not build: write the first
                         corpus by `./dev fuzz 30 ring_fuzz` and `./dev fuzz --merge ring_fuzz`.
"""

def vmbuskit_fuzzer(name, srcs, deps, covers, corpus = None, max_len = 1024, size = "small", **kwargs):
    """Makes the two targets.

    Args:
      name: unique in the repository, for its corpus is named after it.
      srcs: the sources, one of them with LLVMFuzzerTestOneInput.
      deps: as of a cc_test; //framework/base:fuzzing among them.
      covers: the sources that it attacks, whose line coverage is measured: shell patterns, relative to the package or
        (with // before them) to the root. Tests, fuzzers and benchmarks that they match do not count.
      corpus: the folder below tests/fuzz_corpus, when it is not the name.
      max_len: the largest input in bytes. Small ones run faster.
      size: of the corpus test.
      **kwargs: for both targets.
    """
    corpus = corpus or name
    patterns = [
        pattern[2:] if pattern.startswith("//") else native.package_name() + "/" + pattern
        for pattern in covers
    ]
    native.cc_binary(
        name = name,
        testonly = True,
        srcs = srcs,
        linkopts = ["-fsanitize=fuzzer"],
        # For tools/dev/fuzz.sh, which asks bazel for them.
        tags = [
            "fuzzer",
            "manual",
            "corpus=" + corpus,
            "max_len=%d" % max_len,
        ] + ["covers=" + pattern for pattern in patterns],
        deps = deps,
        **kwargs
    )
    native.cc_test(
        name = name + "_corpus_test",
        size = size,
        srcs = srcs,
        args = ["tests/fuzz_corpus/" + corpus],
        data = ["//tests/fuzz_corpus:" + corpus],
        tags = ["unsanitized"],  # the fuzzer itself runs the corpus under ASan
        deps = deps + ["//framework/base:fuzz_replay"],
        **kwargs
    )
