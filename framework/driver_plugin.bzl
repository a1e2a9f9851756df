"""Device classes as a shared object, for programs that load classes at run time.

    load("//framework:driver_plugin.bzl", "driver_plugin")

    driver_plugin(
        name = "my_plugin.so",
        srcs = ["my_plugin.cc"],     # defines vmbuskit_plugin(), see framework/bus/plugin.h
        deps = [":my_class", "//framework/bus:plugin"],
    )
"""

# Debian's static Abseil is not position-independent, so that a shared object cannot hold it. Standing before the
# static libraries that the dependencies name, the shared ones take their place.
_SHARED_ABSEIL = [
    "-labsl_" + lib
    for lib in [
        "statusor",
        "status",
        "strerror",
        "cord",
        "cordz_info",
        "cord_internal",
        "cordz_functions",
        "cordz_handle",
        "hash",
        "city",
        "low_level_hash",
        "raw_hash_set",
        "hashtablez_sampler",
        "exponential_biased",
        "synchronization",
        "graphcycles_internal",
        "stacktrace",
        "symbolize",
        "debugging_internal",
        "demangle_internal",
        "malloc_internal",
        "time",
        "civil_time",
        "time_zone",
        "bad_variant_access",
        "bad_optional_access",
        "str_format_internal",
        "strings",
        "strings_internal",
        "base",
        "spinlock_wait",
        "int128",
        "throw_delegate",
        "raw_logging_internal",
        "log_severity",
    ]
]

def driver_plugin(name, srcs, deps, **kwargs):
    """A shared object; `name` ends with .so."""
    native.cc_binary(
        name = name,
        srcs = srcs,
        linkopts = ["-Wl,--as-needed"] + _SHARED_ABSEIL,
        linkshared = True,
        deps = deps,
        **kwargs
    )
