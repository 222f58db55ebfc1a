# SPDX-License-Identifier: MIT
"""The programs of Debian packages: those of the machine if they are there, else unpacked into a cache folder, and not
installed."""
import glob
import os
import subprocess
import tempfile

# Where the libraries of the peers come from, should the machine lack them.
LIBRARIES = {
    "libwrap.so.0": "libwrap0",
    "libevent-2.1.so.7": "libevent-2.1-7",
    "libbsd.so.0": "libbsd0",
    "libmd.so.0": "libmd0",
    "libtirpc.so.3": "libtirpc3",
    "libnsl.so.2": "libnsl2",
    "libcap.so.2": "libcap2",
}


class Unavailable(Exception):
    """A server cannot take part; the others do."""


class Packages:
    def __init__(self, cache, say):
        self.root = os.path.join(cache, "root")
        self.say = say

    def unpack(self, package):
        self.say("unpacking %s into %s" % (package, self.root))
        os.makedirs(self.root, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            done = subprocess.run(
                ["apt-get", "-o", "APT::Sandbox::User=root", "download", package],
                cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, universal_newlines=True)
            files = glob.glob(folder + "/*.deb")
            if done.returncode != 0 or not files:
                raise Unavailable("apt-get download %s: %s" % (package, done.stderr.strip().splitlines()[-1:]))
            subprocess.run(["dpkg", "-x", files[0], self.root], check=True)

    def library_path(self):
        return ":".join(glob.glob(self.root + "/lib/*-linux-gnu") + glob.glob(self.root + "/usr/lib/*-linux-gnu"))

    @staticmethod
    def missing_libraries(program):
        done = subprocess.run(["ldd", program], stdout=subprocess.PIPE, universal_newlines=True)
        return [line.split()[0] for line in done.stdout.splitlines() if "not found" in line]

    def find(self, package, pattern):
        """A file of a package, by a pattern with one match, on the machine or in the cache."""
        for root in ("", self.root):
            found = glob.glob(root + pattern)
            if found:
                return found[0]
        raise Unavailable("%s has no %s" % (package, pattern))

    def command(self, package, path, identify=lambda path: True):
        """The words that start the program of a package. @identify says whether what is installed under this path is
        the one that is meant."""
        if os.access(path, os.X_OK) and identify(path):
            return [path]
        unpacked = self.root + path
        if not os.access(unpacked, os.X_OK):
            self.unpack(package)
        missing = self.missing_libraries(unpacked)
        if not missing:
            return [unpacked]
        for library in missing:
            if library not in LIBRARIES:
                raise Unavailable("%s needs %s" % (package, library))
            if not glob.glob("%s/**/%s" % (self.root, library), recursive=True):
                self.unpack(LIBRARIES[library])
        # By the loader and not by LD_LIBRARY_PATH, which the peer's services would inherit and be slower by.
        loaders = glob.glob("/lib64/ld-linux-*.so.*") + glob.glob("/lib/ld-linux-*.so.*")
        if not loaders:
            raise Unavailable("%s: no loader found" % package)
        return [loaders[0], "--library-path", self.library_path(), unpacked]
