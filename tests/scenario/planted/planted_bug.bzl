"""A bug planted into the product, which the campaign must find.

    planted_bug(
        name = "relid_never_released",
        src = "//transports/synic:client_channels.cc",   # needs exports_files there
        find = "  ReleaseIfDone(relid);\\n  return absl::OkStatus();\\n}\\n\\nvoid ClientChannels::ReleaseIfDone",
        replace = "  return absl::OkStatus();\\n}\\n\\nvoid ClientChannels::ReleaseIfDone",
    )

makes the test `relid_never_released`: the scenario over the whole product with this one source changed (tests/mutants/mutant.bzl
says how), seeds from 0 on until one fails. It fails when 10,000 do not.
"""

load("//tests/mutants:mutant.bzl", "mutated_source")

def planted_bug(name, src, find, replace, workload = "foundation"):
    """One planted bug and the test that the campaign finds it.

    Args:
      name: what is wrong; the test's name.
      src: label of the .cc file.
      find: what stands there exactly once.
      replace: what stands there instead.
      workload: of the campaign that finds it.
    """
    mutated_source(
        name = name + "_source",
        testonly = True,
        src = src,
        find = find,
        replace = replace,
    )
    native.cc_test(
        name = name,
        size = "medium",
        srcs = [":" + name + "_source"],
        args = [
            name,
            workload,
        ],
        copts = ["-O1"],
        # The sanitizers would find the same bugs, later.
        tags = [
            "planted",
            "unsanitized",
        ],
        deps = [":planted_main"],
    )
