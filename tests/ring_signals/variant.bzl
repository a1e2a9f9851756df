"""The ring's code under the model check, once for each variant."""

load("//tests/mutants:mutant.bzl", "mutated_source")

_CODE = "framework/channel/"
_PACKAGE = "tests/ring_signals/"

def ring_variant(name, file = None, find = None, replace = None):
    """A cc_library that registers the real code (no `file`) or a mutant of it as variant `name`.

    Args:
      name: of the variant; the library's is variant_NAME.
      file: in framework/channel: the source to change.
      find: what to replace in it.
      replace: by what.
    """
    path = {key: _CODE + key for key in ["ring_reader.h", "ring_reader.cc", "ring_writer.h", "ring_writer.cc"]}
    mutated = []
    if file:
        mutated_source(name = name, src = "//framework/channel:" + file, find = find, replace = replace)
        mutated = [":" + name]
        path[file] = _PACKAGE + name + "/" + _CODE + file
    native.cc_library(
        name = "variant_" + name,
        testonly = True,
        srcs = ["ring_subject.cc"],
        textual_hdrs = mutated,
        copts = ["-Wno-unused", "-Wno-unused-parameter", "-include", _PACKAGE + "word.h", "-include", path["ring_writer.h"], "-include", path["ring_reader.h"]],
        local_defines = [
            "NDEBUG",  # what a mutant breaks is for the checker to find, not for an assertion
            "vmbuskit=vmbuskit_" + name,  # so that all variants live in one binary
            "VMBUSKIT_VARIANT=\\\"" + name + "\\\"",
            "VMBUSKIT_RING_ATOMIC=::ring_signals::Word",
            "VMBUSKIT_RING_READER_CC=\\\"" + path["ring_reader.cc"] + "\\\"",
            "VMBUSKIT_RING_WRITER_CC=\\\"" + path["ring_writer.cc"] + "\\\"",
        ],
        alwayslink = True,
        deps = [
            ":checker",
            ":packet_images",
            "//framework/channel:ring",
            "//framework/channel:ring_sources",
        ],
    )
