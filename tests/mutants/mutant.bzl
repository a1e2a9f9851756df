"""Planted bugs: copies of real sources with one textual change.

    load("//tests/mutants:mutant.bzl", "mutated_source")

    mutated_source(
        name = "unmask_without_recheck",
        src = "//framework/channel:ring_reader.cc",      # exported there with exports_files
        find = "return !Refresh() || available_ != 0;",  # exactly once, else the build fails; may span lines
        replace = "return false;",
    )

makes `unmask_without_recheck/framework/channel/ring_reader.cc` in the calling package. Several changes: give the
label of one mutant as the next one's src. How to build it in:

* A .cc file: name the mutant among the srcs of the binary or test. Objects of its own come before the archives of its
  deps, so the linker never takes the real file's object (they define the same symbols; keep it so).
* A header: `copts = ["-include", "<package>/<name>/<path of src>"]` with the mutant among the srcs. Its include guard
  shuts out the real one. Everything inline in it must be compiled that way in all of the binary, or live in a namespace
  of its own:
* Many mutants in one binary: one cc_library each, with `local_defines = ["vmbuskit=vmbuskit_NAME"]`, which renames the
  namespace, as tests/ring_signals does.
"""

def _mutated_source_impl(ctx):
    src = ctx.file.src
    path = src.short_path
    if not src.is_source and path.startswith(src.owner.package + "/" + src.owner.name + "/"):
        path = path[len(src.owner.package) + len(src.owner.name) + 2:]  # a mutant of a mutant
    out = ctx.actions.declare_file(ctx.label.name + "/" + path)
    ctx.actions.run_shell(
        outputs = [out],
        inputs = [src, ctx.file._script],
        command = "exec bash \"$@\"",
        arguments = [ctx.file._script.path, src.path, out.path, ctx.attr.find, ctx.attr.replace],
        mnemonic = "Mutate",
        progress_message = "Planting %s in %s" % (ctx.label.name, src.short_path),
    )
    return [DefaultInfo(files = depset([out]))]

mutated_source = rule(
    implementation = _mutated_source_impl,
    attrs = {
        "src": attr.label(allow_single_file = True, mandatory = True),
        "find": attr.string(mandatory = True),
        "replace": attr.string(mandatory = True),
        "_script": attr.label(allow_single_file = True, default = "//tests/mutants:mutate.sh"),
    },
)
