"""Targets for libraries that the system's packages provide."""

def system_library(name, linkopts = [], **kwargs):
    """A library whose headers are in /usr/include; `linkopts` name what it links."""
    native.cc_library(name = name, linkopts = linkopts, **kwargs)

def absl_library(name, libs, **kwargs):
    """Static Abseil libraries, in link order (`pkg-config --libs` tells the closure)."""
    system_library(
        name,
        linkopts = ["-Wl,--start-group"] + ["-l:libabsl_%s.a" % lib for lib in libs] + ["-Wl,--end-group"],
        **kwargs
    )
