"""How a lease is claimed in a folder: as a lock on a file, which the system ends with the process that holds it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from typing import TYPE_CHECKING

from agent_sessions._storage.file_errors import not_a_file, storage_error
from agent_sessions._storage.file_locks import try_lock
from agent_sessions._storage.file_system import BINARY, NO_FOLLOW, NON_BLOCKING, write_whole
from agent_sessions._storage.record_claim import RecordClaim
from agent_sessions.claims import Claim, LeaseTerms, Refusal, holder_in, read_claim
from agent_sessions.object_store import listed_key

if TYPE_CHECKING:
    from agent_sessions._storage.file_objects import FileObjects

_LOCK_RETRY_SECONDS = 1.0
_LONGEST_CLAIM_BYTES = 65_536

_ATTEMPTS = 1_000
"""Tries to lock the file under the name. A try fails when the lease is given back at that moment."""


class FileClaim:
    """A claim that is a lock on a file: the system ends it when its process dies, however it dies.

    The file says who holds it. If it has content and no lock, its process died. On Windows, and where files cannot be
    locked, the claim is an object as in a bucket, and runs out: Windows' locks keep a file from being deleted.

    Args:
        objects: Where the file lies.
        key: Its key.
        terms: What is claimed.
    """

    def __init__(self, objects: FileObjects, key: str, terms: LeaseTerms) -> None:
        self._objects = objects
        self._key = key
        self._folder = listed_key(key.rpartition("/")[0] + "/", key)
        self._path = f"{os.fspath(objects.folder)}/{key}"
        self._terms = terms
        self._descriptor: int | None = None
        self._instead: Claim | None = None
        self.found_unfinished = False
        self.took_over = False

    @property
    def runs_out(self) -> bool:
        """See :attr:`Claim.runs_out`. A lock does not."""
        return self._instead is not None and self._instead.runs_out

    def take(self) -> Refusal | None:
        """See :meth:`Claim.take`."""
        if sys.platform == "win32" or not self._objects.locks_work(self._key):
            self._instead = RecordClaim(self._objects, self._key, self._terms)
            refusal = self._instead.take()
            self.found_unfinished, self.took_over = self._instead.found_unfinished, self._instead.took_over
            return refusal
        for _ in range(_ATTEMPTS):
            descriptor = self._open()
            if descriptor is None:
                continue  # the session was erased in between, with its folder
            is_ours = False
            try:
                mode = os.fstat(descriptor).st_mode
                if not stat.S_ISREG(mode):
                    raise not_a_file(self._path, mode, key=self._key)
                if not try_lock(descriptor):
                    claimed = read_claim(os.pread(descriptor, _LONGEST_CLAIM_BYTES, 0))
                    return Refusal(holder_in(claimed), _LOCK_RETRY_SECONDS)
                if not self._is_the_file(descriptor):
                    continue  # its holder gave it back while we opened it
                self._sign(descriptor)
                is_ours, self._descriptor = True, descriptor
            except OSError as error:
                raise storage_error("lock", self._path, error, key=self._key) from error
            finally:
                if not is_ours:
                    os.close(descriptor)
            return None
        changing = OSError(errno.EBUSY, "it is another file each time it is opened", self._path)
        raise storage_error("lock", self._path, changing, key=self._key)

    def look(self) -> Refusal | None:
        """See :meth:`Claim.look`. If it is free, it takes a shared lock for a moment; another's try then fails once."""
        if sys.platform == "win32" or not self._objects.locks_work(self._key):
            return RecordClaim(self._objects, self._key, self._terms).look()
        try:
            descriptor = os.open(self._path, os.O_RDWR | BINARY | NO_FOLLOW | NON_BLOCKING)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error("lock", self._path, error, key=self._key) from error
        try:
            if try_lock(descriptor, shared=True):
                return None
            return Refusal(holder_in(read_claim(os.pread(descriptor, _LONGEST_CLAIM_BYTES, 0))), _LOCK_RETRY_SECONDS)
        except OSError as error:
            raise storage_error("lock", self._path, error, key=self._key) from error
        finally:
            os.close(descriptor)

    def _open(self) -> int | None:
        """Open the file, or create it; ``None`` when its folder is gone."""
        self._objects.make_folder(self._folder)
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | BINARY | NO_FOLLOW | NON_BLOCKING, 0o600)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error("lock", self._path, error, key=self._key) from error

    def _sign(self, descriptor: int) -> None:
        """Write the holder into the file. The old content goes last: on a full disk the file stays as it was."""
        self.found_unfinished = os.fstat(descriptor).st_size > 0
        self.took_over = self.found_unfinished  # a lock leaves no note that tells the two apart
        body = self._terms.body()
        try:
            write_whole(descriptor, body)
            os.ftruncate(descriptor, len(body))
        except OSError:
            if not self.found_unfinished:
                self._remove(descriptor)
            raise

    def stands(self) -> bool:
        """See :meth:`Claim.stands`. A lock lasts; only the session's erasure ends it early.

        If the system cannot tell, the answer is no: a holder in doubt holds nothing.
        """
        if self._instead is not None:
            return self._instead.stands()
        try:
            return self._descriptor is not None and self._is_the_file(self._descriptor)
        except OSError:
            return False

    def renew(self) -> bool:
        """See :meth:`Claim.renew`."""
        return self._instead.renew() if self._instead is not None else self.stands()

    def give_back(self, *, whole: bool) -> None:
        """See :meth:`Claim.give_back`."""
        instead, self._instead = self._instead, None
        if instead is not None:
            instead.give_back(whole=whole)
            return
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            if whole:
                self._remove(descriptor)
        except OSError as error:
            raise storage_error("unlock", self._path, error, key=self._key) from error
        finally:
            os.close(descriptor)

    def _remove(self, descriptor: int) -> None:
        """Delete the file while it is locked. A process that has opened it then sees that it is gone."""
        if self._is_the_file(descriptor):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
            self._objects.drop_empty_folder(self._folder)

    def _is_the_file(self, descriptor: int) -> bool:
        """Whether the open file still has the name."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.lstat(self._path))
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno == errno.ESTALE:  # NFS: another machine has deleted it
                return False
            raise
