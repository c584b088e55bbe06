"""A file system of its own, through the kernel: a folder as SMB, exFAT or a virtual machine's mount would show it.

It speaks the kernel's FUSE protocol (linux/fuse.h, version 7.31) on ``/dev/fuse`` and needs nothing but Python. Started
by :func:`mounted` as a process of its own, since a process that waits for a disk cannot serve it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import stat
import struct
import subprocess
import sys
import unicodedata
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_IN = struct.Struct("<IIQQIIII")
_OUT = struct.Struct("<IiQ")
_ATTR = struct.Struct("<QQQQQQIIIIIIIIII")
_ENTRY = struct.Struct("<QQQQII")
_WRITES = 1 << 17
_FLOCK_LOCKS = 1 << 10
_DETACH = 2

ROOT = 1


@dataclass(frozen=True)
class Oddities:
    """What the file system lacks or does its own way. An error number stands for a call it does not have.

    Attributes:
        link: Of hard links.
        flush: Of flushing a file.
        flush_folder: Of flushing a folder.
        lock: Of ``flock``.
        ignores_case: Whether ``Ada`` is found as ``ada``.
        composes: Whether a name is found in any Unicode form.
    """

    link: int = 0
    flush: int = 0
    flush_folder: int = 0
    lock: int = 0
    ignores_case: bool = False
    composes: bool = False


def why_not() -> str | None:
    """Why this machine cannot mount one; ``None`` when it can."""
    if sys.platform != "linux" or not Path("/dev/fuse").exists():
        return "there is no /dev/fuse here"
    if os.geteuid() != 0:
        return "this user may not mount"
    return None


@contextlib.contextmanager
def mounted(folder: Path, at: Path, oddities: Oddities) -> Iterator[Path]:
    """Show a folder through the file system while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    at.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, str(folder), str(at), json.dumps(asdict(oddities))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            answer = server.stdout.readline().strip()
            if answer != "ready":
                raise OSError(errno.EPERM, f"could not be mounted: {answer}")
            yield at
        finally:
            _libc().umount2(os.fsencode(at), _DETACH)
            server.kill()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


class OddDisk:
    """Serves one mount until it is unmounted."""

    def __init__(self, folder: str, at: str, oddities: Oddities) -> None:
        self.folder = folder
        self.at = at
        self.odd = oddities
        self.paths = {ROOT: ""}
        self.nodes = {"": ROOT}
        self.device = -1

    def mount(self) -> None:
        self.device = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        if _libc().mount(b"odd", os.fsencode(self.at), b"fuse", 0, options):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def serve(self) -> None:
        while True:
            try:
                request = os.read(self.device, _WRITES + 4096)
            except OSError as error:
                if error.errno in {errno.EINTR, errno.EAGAIN, errno.ENOENT}:
                    continue
                return  # unmounted
            _, operation, unique, node, _, _, _, _ = _IN.unpack_from(request)
            body = request[_IN.size :]
            verb = _VERBS.get(operation)
            if operation in _WITHOUT_ANSWER:
                continue
            try:
                answer, number = (verb(self, node, body), 0) if verb else (b"", errno.ENOSYS)
            except OSError as error:
                answer, number = b"", error.errno or errno.EIO
            with contextlib.suppress(OSError):  # whoever asked has died
                os.write(self.device, _OUT.pack(_OUT.size + len(answer), -number, unique) + answer)

    # --- names ----------------------------------------------------------------------------------------------

    def _fold(self, name: str) -> str:
        if self.odd.composes:
            name = unicodedata.normalize("NFC", name)
        return name.casefold() if self.odd.ignores_case else name

    def _path(self, node: int) -> str:
        return f"{self.folder}/{self.paths[node]}"

    def _child(self, node: int, name: str) -> str:
        """The child's path below the folder, spelled as it is on the disk."""
        parent = self.paths[node]
        if self.odd.ignores_case or self.odd.composes:
            wanted = self._fold(name)
            with contextlib.suppress(OSError):
                name = next((have for have in os.listdir(self._path(node)) if self._fold(have) == wanted), name)
        return f"{parent}/{name}" if parent else name

    def _node(self, path: str) -> int:
        node = self.nodes.get(path)
        if node is None:
            node = max(self.paths) + 1
            self.nodes[path], self.paths[node] = node, path
        return node

    def _forget(self, path: str) -> None:
        for known in [known for known in self.nodes if known == path or known.startswith(f"{path}/")]:
            self.paths[self.nodes.pop(known)] = f".gone-{known}"

    # --- what is asked ----------------------------------------------------------------------------------------

    def init(self, node: int, body: bytes) -> bytes:
        _, minor, ahead, flags = struct.unpack_from("<IIII", body)
        wanted = flags & (_FLOCK_LOCKS if self.odd.lock else 0)
        return struct.pack("<IIIIHHIIHHI7I", 7, min(minor, 31), ahead, wanted, 12, 9, _WRITES, 1, 0, 0, 0, *[0] * 7)

    def _attributes(self, found: os.stat_result, node: int) -> bytes:
        times = [found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns]
        return _ATTR.pack(
            node,
            found.st_size,
            found.st_blocks,
            *(at // 10**9 for at in times),
            *(at % 10**9 for at in times),
            found.st_mode,
            found.st_nlink,
            found.st_uid,
            found.st_gid,
            0,
            4096,
            0,
        )

    def _entry(self, path: str) -> bytes:
        found = os.lstat(f"{self.folder}/{path}")
        node = self._node(path)
        return _ENTRY.pack(node, 1, 0, 0, 0, 0) + self._attributes(found, node)

    def lookup(self, node: int, body: bytes) -> bytes:
        return self._entry(self._child(node, _name(body)))

    def getattr(self, node: int, body: bytes) -> bytes:
        flags, _, handle = struct.unpack_from("<IIQ", body)
        found = os.fstat(handle) if flags & 1 else os.lstat(self._path(node))
        return struct.pack("<QII", 0, 0, 0) + self._attributes(found, node)

    def setattr(self, node: int, body: bytes) -> bytes:
        valid, _, handle, size, _, at, mt, _, at_ns, mt_ns, _, mode = struct.unpack_from("<IIQQQQQQIIII", body)
        path = self._path(node)
        if valid & 1:
            os.chmod(path, stat.S_IMODE(mode))
        if valid & 8:
            os.truncate(handle if valid & 64 else path, size)
        if valid & (16 | 32):
            found = os.lstat(path)
            accessed = at * 10**9 + at_ns if valid & 16 else found.st_atime_ns
            modified = mt * 10**9 + mt_ns if valid & 32 else found.st_mtime_ns
            os.utime(path, ns=(accessed, modified))
        return self.getattr(node, struct.pack("<IIQ", 1 if valid & 64 else 0, 0, handle))

    def mkdir(self, node: int, body: bytes) -> bytes:
        mode, _ = struct.unpack_from("<II", body)
        path = self._child(node, _name(body[8:]))
        os.mkdir(f"{self.folder}/{path}", mode)
        return self._entry(path)

    def unlink(self, node: int, body: bytes) -> bytes:
        path = self._child(node, _name(body))
        os.unlink(f"{self.folder}/{path}")
        self._forget(path)
        return b""

    def rmdir(self, node: int, body: bytes) -> bytes:
        path = self._child(node, _name(body))
        os.rmdir(f"{self.folder}/{path}")
        self._forget(path)
        return b""

    def rename(self, node: int, body: bytes, offset: int = 8) -> bytes:
        (new_parent,) = struct.unpack_from("<Q", body)
        old, new, _ = body[offset:].split(b"\0", 2)
        source, target = self._child(node, old.decode()), self._child(new_parent, new.decode())
        os.rename(f"{self.folder}/{source}", f"{self.folder}/{target}")
        moved = self.nodes.get(source)
        self._forget(target)
        self._forget(source)
        if moved is not None:
            self.nodes[target], self.paths[moved] = moved, target
        return b""

    def rename2(self, node: int, body: bytes) -> bytes:
        return self.rename(node, body, offset=16)

    def link(self, node: int, body: bytes) -> bytes:
        _refuse(self.odd.link)
        (old,) = struct.unpack_from("<Q", body)
        path = self._child(node, _name(body[8:]))
        os.link(self._path(old), f"{self.folder}/{path}")
        return self._entry(path)

    def open(self, node: int, body: bytes) -> bytes:
        (flags,) = struct.unpack_from("<I", body)
        return struct.pack("<QII", os.open(self._path(node), flags & ~(os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)), 0, 0)

    def create(self, node: int, body: bytes) -> bytes:
        flags, mode, _, _ = struct.unpack_from("<IIII", body)
        path = self._child(node, _name(body[16:]))
        handle = os.open(f"{self.folder}/{path}", flags | os.O_CREAT, mode)
        return self._entry(path) + struct.pack("<QII", handle, 0, 0)

    def read(self, node: int, body: bytes) -> bytes:
        handle, offset, size = struct.unpack_from("<QQI", body)
        return os.pread(handle, size, offset)

    def write(self, node: int, body: bytes) -> bytes:
        handle, offset, size = struct.unpack_from("<QQI", body)
        return struct.pack("<II", os.pwrite(handle, body[40 : 40 + size], offset), 0)

    def release(self, node: int, body: bytes) -> bytes:
        os.close(struct.unpack_from("<Q", body)[0])
        return b""

    def statfs(self, node: int, body: bytes) -> bytes:
        found = os.statvfs(self.folder)
        return struct.pack(
            "<QQQQQIIII6I",
            found.f_blocks,
            found.f_bfree,
            found.f_bavail,
            found.f_files,
            found.f_ffree,
            found.f_bsize,
            255,
            found.f_frsize,
            0,
            *[0] * 6,
        )

    def fsync(self, node: int, body: bytes) -> bytes:
        _refuse(self.odd.flush)
        return b""

    def fsyncdir(self, node: int, body: bytes) -> bytes:
        _refuse(self.odd.flush_folder)
        return b""

    def setlk(self, node: int, body: bytes) -> bytes:
        _refuse(self.odd.lock)
        return b""

    def opendir(self, node: int, body: bytes) -> bytes:
        os.listdir(self._path(node))
        return struct.pack("<QII", 0, 0, 0)

    def readdir(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        out = b""
        for number, name in enumerate(sorted(os.listdir(self._path(node)))[offset:], start=offset + 1):
            encoded = os.fsencode(name)
            with contextlib.suppress(OSError):
                kind = os.lstat(f"{self._path(node)}/{name}").st_mode >> 12
                entry = struct.pack("<QQII", number + 1, number, len(encoded), kind) + encoded
                entry += b"\0" * (-len(entry) % 8)
                if len(out) + len(entry) > size:
                    break
                out += entry
        return out

    def nothing(self, node: int, body: bytes) -> bytes:
        return b""


_VERBS: dict[int, Any] = {
    1: OddDisk.lookup,
    3: OddDisk.getattr,
    4: OddDisk.setattr,
    9: OddDisk.mkdir,
    10: OddDisk.unlink,
    11: OddDisk.rmdir,
    12: OddDisk.rename,
    13: OddDisk.link,
    14: OddDisk.open,
    15: OddDisk.read,
    16: OddDisk.write,
    17: OddDisk.statfs,
    18: OddDisk.release,
    20: OddDisk.fsync,
    25: OddDisk.nothing,  # flush
    26: OddDisk.init,
    27: OddDisk.opendir,
    28: OddDisk.readdir,
    29: OddDisk.nothing,  # releasedir
    30: OddDisk.fsyncdir,
    32: OddDisk.setlk,
    33: OddDisk.setlk,
    35: OddDisk.create,
    38: OddDisk.nothing,  # destroy
    45: OddDisk.rename2,
}
_WITHOUT_ANSWER = {2, 36, 42}  # forget, interrupt, forget many


def _name(body: bytes) -> str:
    return os.fsdecode(body.split(b"\0", 1)[0])


def _refuse(number: int) -> None:
    if number:
        raise OSError(number, os.strerror(number))


def main(folder: str, at: str, oddities: str) -> None:
    """Mount, say so, and serve."""
    disk = OddDisk(folder, at, Oddities(**json.loads(oddities)))
    try:
        disk.mount()
    except OSError as error:
        print(error, flush=True)
        return
    print("ready", flush=True)
    disk.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
