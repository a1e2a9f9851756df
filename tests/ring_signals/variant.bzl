"""The ring's code under the model check, once for each variant."""

load("//tests/mutants:mutant.bzl", "mutated_source")

_CODE = "framework/channel/"
_PACKAGE = "tests/ring_signals/"

def _variant(name, subject, defaults, file, find, replace, defines, deps):
    path = dict(defaults)
    mutated = []
    if file:
        mutated_source(name = name, src = "//framework/channel:" + file, find = find, replace = replace)
        mutated = [":" + name]
        path[file] = _PACKAGE + name + "/" + _CODE + file
    includes = [_PACKAGE + "word.h"] + [path[key] for key in path if key.endswith(".h")]
    native.cc_library(
        name = "variant_" + name,
        testonly = True,
        srcs = [subject],
        textual_hdrs = mutated,
        copts = [
            # Mutants leave something unused.
            "-Wno-unused",
            "-Wno-unused-parameter",
        ] + [option for include in includes for option in ["-include", include]],
        local_defines = [
            "NDEBUG",  # what a mutant breaks is for the checker to find, not for an assertion
            "vmbuskit=vmbuskit_" + name,  # so that all variants live in one binary
            "VMBUSKIT_VARIANT=\\\"" + name + "\\\"",
            "VMBUSKIT_RING_ATOMIC=::ring_signals::Word",
        ] + [define + "=\\\"" + path[key] + "\\\"" for define, key in defines.items()],
        alwayslink = True,
        deps = [
            ":checker",
            ":packet_images",
            "//framework/channel:ring",
            "//framework/channel:sources",
        ] + deps,
    )

def ring_variant(name, file = None, find = None, replace = None):
    """A cc_library that registers RingWriter and RingReader, real (no `file`) or as a mutant, as variant `name`.

    Args:
      name: of the variant; the library's is variant_NAME.
      file: in framework/channel: the source to change.
      find: what to replace in it.
      replace: by what.
    """
    files = ["ring_writer.h", "ring_reader.h", "ring_reader.cc", "ring_writer.cc"]
    defines = {"VMBUSKIT_RING_READER_CC": "ring_reader.cc", "VMBUSKIT_RING_WRITER_CC": "ring_writer.cc"}
    _variant(name, "ring_subject.cc", {key: _CODE + key for key in files}, file, find, replace, defines, [])

def channel_variant(name, file = None, find = None, replace = None):
    """The same for Channel, over the real RingWriter and RingReader.

    Args:
      name: of the variant; the library's is variant_NAME.
      file: in framework/channel: the source to change.
      find: what to replace in it.
      replace: by what.
    """
    files = ["channel.cc", "channel_drain.cc"]
    defines = {"VMBUSKIT_CHANNEL_CC": "channel.cc", "VMBUSKIT_CHANNEL_DRAIN_CC": "channel_drain.cc"}
    deps = ["//framework/base:status", "//framework/channel", "//third_party:absl_status", "//third_party:absl_strings"]
    _variant(name, "channel_subject.cc", {key: _CODE + key for key in files}, file, find, replace, defines, deps)
