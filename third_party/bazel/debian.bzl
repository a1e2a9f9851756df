"""Lets Debian's own Bazel build without the network.

Bazel's default WORKSPACE suffix fetches these four repositories from the internet. Debian's build of Bazel
(recognised by an empty version string) finds them on disk instead; an upstream Bazel keeps its own.
"""

def debian_repositories():
    if native.bazel_version:
        return
    native.local_repository(name = "rules_java", path = "/usr/share/bazel/rules/java")
    native.local_repository(name = "platforms", path = "/usr/share/bazel/platforms")
    native.local_repository(name = "rules_cc", path = "third_party/bazel/rules_cc")
    native.local_repository(
        name = "remote_coverage_tools",
        path = "third_party/bazel/remote_coverage_tools",
    )
